"""How much each site counts: its cases, and never more than a share of the whole."""

from __future__ import annotations

from collections.abc import Mapping


def capped_shares(wanted: Mapping[str, float], most: float) -> dict[str, float]:
    """Weights of the sites, none above ``most`` of their sum.

    What is taken from the largest falls to the others in proportion. Where no site is above, the weights come back as
    they are; where ``most`` times the number of sites is below 1, all count the same.

    Args:
        wanted: a weight above 0 for each site.
        most: the largest share, above 0 and at most 1.
    """
    order = sorted(wanted, key=lambda site: (-wanted[site], site))
    rest = sum(wanted[site] for site in sorted(wanted))
    for capped, site in enumerate(order):
        left = 1 - capped * most
        if left <= 0:
            break
        if wanted[site] * left <= most * rest * (1 + 1e-12):
            if not capped:
                return dict(wanted)
            held = most * rest / left
            return {name: held if at < capped else wanted[name] for at, name in enumerate(order)}
        rest -= wanted[site]
    return dict.fromkeys(wanted, 1.0)
