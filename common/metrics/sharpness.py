"""How sharp a prediction is beside the truth: gradients and the radial power spectrum, with pinned definitions.

An error measure rewards a blurred answer to a question that the radiographs leave open; these measures show it. Both
take volumes windowed to 0..1.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Power below this share of the truth's mean power in the spectrum counts as this share.
POWER_FLOOR = 1e-10


def gradient_ratio(truth: Tensor, predicted: Tensor, region: Tensor) -> float | None:
    """Mean gradient magnitude of the prediction over that of the truth: 1 is as sharp as the truth, less is blurred.

    Gradients are central differences (one-sided at the volume's faces), as :func:`torch.gradient` takes them.

    Args:
        truth: (z, y, x).
        predicted: (z, y, x).
        region: (z, y, x), bool: where the means are taken.

    Returns:
        None where the region is empty or the truth is flat in it.
    """
    if not region.any():
        return None
    means = [_gradient_magnitude(volume)[region].double().mean().item() for volume in (truth, predicted)]
    return means[1] / means[0] if means[0] > 0 else None


def spectrum_distance_db(truth: Tensor, predicted: Tensor) -> float | None:
    """Mean absolute difference of the radial power spectra, in dB, over the shells up to Nyquist's frequency.

    The spectrum's shells are as wide as one period over the shortest edge; the shell at zero frequency is left out.

    Returns:
        None where the truth is flat.
    """
    of_truth, of_prediction = radial_power(truth), radial_power(predicted)
    floor = POWER_FLOOR * of_truth.mean()
    if not floor > 0:
        return None
    ratio = of_prediction.clamp(min=floor) / of_truth.clamp(min=floor)
    return 10 * ratio.log10().abs().mean().item()


def radial_power(volume: Tensor) -> Tensor:
    """Mean power in each shell of frequency, float64.

    The mean is taken off and a Hann window laid over every axis first, so that the cut through the neck, which is no
    edge of the head, does not count as one.

    Args:
        volume: (z, y, x), N voxels along its shortest edge.

    Returns:
        (N // 2,): the shell at index k - 1 holds the frequencies from k - 1/2 to k + 1/2 periods over N voxels.
    """
    shortest = min(volume.shape)
    tapered = (volume - volume.double().mean()).double()
    for axis, cells in enumerate(volume.shape):
        taper = torch.hann_window(cells, periodic=False, dtype=torch.float64, device=volume.device)
        tapered = tapered * taper.view([cells if a == axis else 1 for a in range(3)])
    power = torch.fft.rfftn(tapered).abs().square()
    shell = _shells(tuple(volume.shape), shortest, volume.device)
    # A real volume's spectrum is symmetric; rfftn keeps one half, its first and its last plane once.
    twice = torch.full((power.shape[-1],), 2.0, dtype=torch.float64, device=volume.device)
    twice[0] = 1.0
    if volume.shape[-1] % 2 == 0:
        twice[-1] = 1.0
    weight = twice.expand(power.shape).ravel()
    count = shortest // 2 + 1
    inside = shell < count
    sums = torch.bincount(shell[inside], (power.ravel() * weight)[inside], minlength=count)
    weights = torch.bincount(shell[inside], weight[inside], minlength=count)
    return (sums / weights)[1:]


def _shells(shape: tuple[int, ...], shortest: int, device: torch.device) -> Tensor:
    """Index of the shell of each frequency that rfftn returns, flat."""
    z, y = (torch.fft.fftfreq(cells, dtype=torch.float64, device=device) for cells in shape[:2])
    x = torch.fft.rfftfreq(shape[2], dtype=torch.float64, device=device)
    radius = torch.sqrt(z[:, None, None].square() + y[:, None].square() + x.square())
    return torch.floor(radius * shortest + 0.5).long().ravel()


def _gradient_magnitude(volume: Tensor) -> Tensor:
    steps = torch.gradient(volume)
    total = torch.zeros_like(volume)
    for step in steps:
        total += step.square()
    return total.sqrt()
