"""Checked training replies of one round, on disk until the round is aggregated.

A coordinator that is killed in mid-round finds them there again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import final

from torch import Tensor

from common.exchange import TrainReply, Weights, joined
from common.files import make_folder, read_tensors, write_atomic, write_tensors
from server.aggregation.stored_pieces import Piece, stored_pieces


@final
class IncomingReplies:
    """The replies of one round.

    Args:
        folder: the round's own folder; one pair of files a site.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = make_folder(folder)

    def add(self, site: str, reply: TrainReply, weights: Mapping[str, Weights]) -> None:
        """Keep a checked reply. Raises ``Refusal`` where the disk does not take it."""
        write_tensors(self._folder / f"{site}.safetensors", joined(weights))
        write_atomic(self._folder / f"{site}.json", reply.model_dump_json().encode())

    def replies(self) -> dict[str, TrainReply]:
        """Replies held, in the order of the sites' names."""
        paths = sorted(self._folder.glob("*.json"))
        return {path.stem: TrainReply.model_validate_json(path.read_text(encoding="utf-8")) for path in paths}

    def keep(self, sites: Collection[str]) -> None:
        """Forget the replies of all others, e.g. of a site that was revoked or renamed in mid-round."""
        for site in set(self.replies()) - set(sites):
            self.remove(site)

    def remove(self, site: str) -> None:
        """Forget a reply; nothing happens where there is none."""
        for kind in ("json", "safetensors"):
            (self._folder / f"{site}.{kind}").unlink(missing_ok=True)

    def pieces(self) -> Iterator[Piece]:
        """All replies side by side, a piece at a time, in the order of the sites' names; see :func:`stored_pieces`."""
        yield from stored_pieces([self._folder / f"{site}.safetensors" for site in self.replies()])

    def weights(self, sites: Collection[str] | None = None) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Each site with its joined weights, in the order of the sites' names, read when it is asked for.

        Args:
            sites: only of these; of all where it is not given.
        """
        for site in self.replies():
            if sites is not None and site not in sites:
                continue
            yield site, read_tensors(self._folder / f"{site}.safetensors")
