"""The table over folds and seeds, and what was aimed at."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from rich.console import Console

from benchmarks.measure import Goal, show
from benchmarks.quality.methods import BASELINES, CENTRALISED, CONSISTENT, EXTRAS, LOCAL, METHODS, RIDGE, Result
from benchmarks.quality.studies import FEDERATED

BEST, BARE_GAN, BARE = "lifting GAN + consistency", "lifting GAN", "lifting"
STRONGEST, PEER = RIDGE + CONSISTENT, "X2CT-GAN"
COLUMNS: Mapping[str, tuple[str, int]] = {
    "PSNR dB": ("psnr_db", 2),
    "SSIM": ("ssim", 3),
    "body PSNR": ("psnr_body_db", 2),
    "body SSIM": ("ssim_body", 3),
    "MAE body HU": ("mae_body_hu", 0),
    "bone": ("mae_bone_hu", 0),
    "brain": ("mae_intracranial_hu", 1),
    "bone Dice": ("bone_dice", 3),
    "gradient": ("gradient_ratio", 2),
    "spectrum dB": ("spectrum_distance_db", 1),
    "brain r": ("brain_correlation", 2),
    "slope": ("brain_slope", 2),
    "CSF": ("csf_contrast", 2),
    "ventricle Dice": ("ventricle_dice", 2),
    "invented cm³": ("inventions_cm3", 1),
}

# By method and person, one result a seed.
Results = Mapping[str, Mapping[str, Sequence[Result]]]


def fold_value(results: Results, method: str, person: str, metric: str) -> float:
    """A metric of a method on a fold, the mean over poses and seeds; NaN where the method was not run on it."""
    found = results.get(method, {}).get(person, ())
    return statistics.fmean(result.mean(metric) for result in found) if found else math.nan


def show_table(console: Console, results: Results, persons: Sequence[str]) -> None:
    """One row a method: PSNR of each fold, then mean and SD over the folds of every metric."""
    rows = []
    for method in (*METHODS, *EXTRAS):
        known = [person for person in persons if results.get(method, {}).get(person)]
        if not known:
            continue
        cells = [f"{fold_value(results, method, person, 'psnr_db'):.2f}" for person in persons]
        for metric, digits in COLUMNS.values():
            values = [fold_value(results, method, person, metric) for person in known]
            cells.append(_mean_and_sd([value for value in values if not math.isnan(value)], digits))
        runs = [result for person in known for result in results[method][person]]
        spent = f"{statistics.fmean(r.steps for r in runs):.0f}", f"{statistics.fmean(r.cpu_s for r in runs):.0f}"
        rows.append([method, *(cell.replace("nan", "–") for cell in cells), *spent])
    columns = ["method", *(f"{person} dB" for person in persons), *COLUMNS, "steps", "CPU-s"]
    show(console, "Held-out persons, window -1000..1500 HU, mean ± SD over folds", columns, rows)


def _mean_and_sd(values: Sequence[float], digits: int) -> str:
    if not values:
        return "–"
    sd = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{sd}"


def goals(results: Results, persons: Sequence[str]) -> list[Goal]:
    """What was aimed at, judged on the folds that were run; a goal whose methods were not run is missed."""

    def gains(method: str, other: str, metric: str) -> list[float]:
        return [
            fold_value(results, method, person, metric) - fold_value(results, other, person, metric)
            for person in persons
        ]

    def gain(name: str, differences: Sequence[float], least: float, unit: str = " dB") -> Goal:
        mean = statistics.fmean(differences)
        told = "not run" if math.isnan(mean) else f"{mean:+.3g}{unit}"
        return Goal(name, f"{told} (goal {least:+g})", mean >= least)

    over_ridge = gains(BEST, STRONGEST, "psnr_db")
    every = all(difference > 0 for difference in over_ridge)
    return [
        gain(f"over {STRONGEST}", over_ridge, 1.5),
        gain(f"SSIM over {STRONGEST}", gains(BEST, STRONGEST, "ssim"), 0.05, ""),
        Goal("positive in every fold", ", ".join(f"{difference:+.2f}" for difference in over_ridge), every),
        gain(f"over {PEER}", gains(BEST, PEER, "psnr_db"), 3.0),
        *_adversarial(results, persons),
        gain("federated beside centralised", gains(FEDERATED, CENTRALISED, "psnr_db"), -0.3),
        gain("federated over the best site alone", _over_best_local(results, persons), 0.5),
        _brain(results, persons),
    ]


def _adversarial(results: Results, persons: Sequence[str]) -> list[Goal]:
    """How much nearer to the truth's sharpness the game brings the volumes, and what it costs."""

    def mean(method: str, metric: str) -> float:
        return statistics.fmean(fold_value(results, method, person, metric) for person in persons)

    spectrum = 1 - mean(BARE_GAN, "spectrum_distance_db") / mean(BARE, "spectrum_distance_db")
    gradient = 1 - abs(1 - mean(BARE_GAN, "gradient_ratio")) / abs(1 - mean(BARE, "gradient_ratio"))
    cost = mean(BARE, "psnr_db") - mean(BARE_GAN, "psnr_db")
    nearer = max((value for value in (spectrum, gradient) if not math.isnan(value)), default=math.nan)
    told = f"spectrum {spectrum:+.0%}, gradient {gradient:+.0%} (goal +20%)"
    return [
        Goal("sharpness by the game", told, nearer >= 0.2),
        Goal("cost of the game", f"{cost:+.2f} dB (goal at most +0.3)", cost <= 0.3),
    ]


def _over_best_local(results: Results, persons: Sequence[str]) -> list[float]:
    differences = []
    for person in persons:
        alone = [fold_value(results, f"{LOCAL}{other}", person, "psnr_db") for other in persons_but(results, person)]
        best = max(alone) if alone else math.nan
        differences.append(fold_value(results, FEDERATED, person, "psnr_db") - best)
    return differences


def persons_but(results: Results, person: str) -> list[str]:
    """The persons at whose site a network was trained alone for a fold."""
    prefix = len(LOCAL)
    return [name[prefix:] for name, folds in results.items() if name.startswith(LOCAL) and folds.get(person)]


def _brain(results: Results, persons: Sequence[str]) -> Goal:
    def mean(method: str) -> float:
        return statistics.fmean(fold_value(results, method, person, "mae_intracranial_hu") for person in persons)

    ours, baselines = mean(BEST), {method: mean(method) for method in BASELINES}
    name = min(baselines, key=lambda method: baselines[method])
    return Goal("brain MAE", f"{ours:.1f} HU beside {baselines[name]:.1f} of {name}", ours < baselines[name])
