"""The card beside the CPU: the same volumes, networks and losses, each by relative error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks.gpu.card import Card
from benchmarks.gpu.outcome import Outcome
from benchmarks.gpu.repeatability import repeatability
from benchmarks.gpu.studies import procedural_case, relative_error, shipped
from benchmarks.measure import Goal
from client.learning import Batch, Players, Widener
from common.attenuation import hu_to_mu
from common.geometry import Pose
from common.networks import build_discriminator, build_generator
from common.objective import to_window
from common.projection import Projector
from common.study import Study

CPU = torch.device("cpu")
# Of float32; convolutions in TF32, PyTorch's default on cards, keep ten bits of a factor.
TOLERANCE = 1e-4
TOLERANCE_TF32 = 1e-2
POSE = Pose(pitch_deg=3.0, roll_deg=-2.0, yaw_deg=4.0, translation_mm=(2.0, -1.0, 3.0))

Part = Callable[[Study, torch.device], dict[str, Tensor]]


def measure(card: Card, *, tiny: bool) -> Outcome:
    """Relative errors of every part, with and without TF32, and what repeats to the bit."""
    study = shipped(tiny=tiny)
    exact: dict[str, float] = {}
    with _tf32(enabled=False):
        for part in (_projector, _networks, _widening, _step):
            exact |= compared(part, study, card.device)
    with _tf32(enabled=True):
        rough = compared(_networks, study, card.device) | compared(_step, study, card.device)
    worst, worst_rough = max(exact.values()), max(rough.values())
    repeated = repeatability(card.device, tiny=tiny)
    goals = [
        Goal("card beside CPU, float32", f"{worst:.1e} (goal {TOLERANCE:.0e})", worst <= TOLERANCE),
        Goal("with TF32", f"{worst_rough:.1e} (goal {TOLERANCE_TF32:.0e})", worst_rough <= TOLERANCE_TF32),
        Goal("training steps repeated to the bit", repeated["said"], repeated["same_bits"]),
    ]
    figures = {"relative_error": exact, "relative_error_tf32": rough, "repeatability": repeated}
    protocol = "Norm of the difference to the CPU over the CPU's norm; shipped study, batch 1, one procedural head."
    return Outcome(protocol, figures, goals)


def compared(part: Part, study: Study, device: torch.device) -> dict[str, float]:
    """Relative error of each tensor of a part, the CPU's taken as right."""
    expected, found = part(study, CPU), part(study, device)
    return {name: relative_error(found[name], tensor) for name, tensor in expected.items()}


@contextlib.contextmanager
def _tf32(*, enabled: bool) -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = enabled
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _batch(study: Study) -> Batch:
    case = procedural_case(study)
    volume = to_window(torch.from_numpy(case.volume_hu)[None, None], study.window)
    return Batch(volume, torch.from_numpy(case.integrals)[None])


def _projector(study: Study, device: torch.device) -> dict[str, Tensor]:
    """Both ways, in the study's pose, in another for all and in another a case."""
    hu = torch.from_numpy(procedural_case(study).volume_hu).float()[None, None]
    mu = hu_to_mu(hu, study.radiograph.water_mu_per_mm).to(device)
    turned = study.geometry.model_copy(update={"frontal_pose": POSE, "lateral_pose": POSE})
    straight, posed = (Projector(study.grid, geometry).to(device) for geometry in (study.geometry, turned))
    pair = straight(mu)
    return {
        "projection": pair,
        "back-projection": straight.adjoint(pair),
        "projection, turned": posed(mu),
        "back-projection, turned": posed.adjoint(pair),
        "projection, posed": straight.project_posed(mu, [(POSE, POSE)]),
        "path length": straight.path_length_mm(),
    }


def _networks(study: Study, device: torch.device) -> dict[str, Tensor]:
    """What an untrained generator and discriminator make of one case, outside training."""
    batch = _batch(study)
    radiographs = (batch.integrals / study.radiograph.integral_scale).to(device)
    generator, discriminator = build_generator(study).to(device).eval(), build_discriminator(study).to(device).eval()
    with torch.inference_mode():
        prediction = generator.predict(radiographs)
        scores = discriminator(batch.target.to(device), radiographs)
    return {"before consistency": prediction.raw, "prediction": prediction.volume, "discriminator": scores}


def _widening(study: Study, device: torch.device) -> dict[str, Tensor]:
    """Widened head and radiographs; what a device draws itself (tissue, noise) is left out."""
    strengths = shipped(tiny=True, widened=True).widening.model_copy(update={"brain_hu": 0.0, "noise_hu": 0.0})
    widener = Widener(study.model_copy(update={"widening": strengths}), device)
    plans = widener.draw(1, torch.Generator().manual_seed(5))
    volumes, integrals = widener.widened(torch.from_numpy(procedural_case(study).volume_hu).float()[None, None], plans)
    return {"widened head": volumes + 1000, "widened radiographs": integrals}


def _step(study: Study, device: torch.device) -> dict[str, Tensor]:
    """Losses of one step of both players, and the norm of each one's gradient."""
    players = Players(study, device)
    losses = players.step(_batch(study), 0)
    if losses is None or players.discriminator is None:
        raise RuntimeError("the step's loss is not finite")
    found = {"loss of the generator": losses.generator, "loss of the discriminator": losses.discriminator or 0.0}
    tensors = {name: torch.tensor(value) for name, value in found.items()}
    for name, network in (("generator", players.generator), ("discriminator", players.discriminator)):
        gradients = [parameter.grad.norm() for parameter in network.parameters() if parameter.grad is not None]
        tensors[f"gradient norm, {name}"] = torch.stack(gradients).norm()
    return tensors
