"""Films on one machine: a network of DRRs and one of films, at the same hospitals, on the same held-out heads."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import final

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.table import Table

from common.documents import write_document
from common.errors import ExitCode, Refusal
from common.files import make_folder, write_atomic
from common.study import Study
from server.demo.demo import Demo
from server.demo.demo_figures import DemoFigures
from server.demo.hospitals import FILM_HOSPITALS, DemoPlan

DRR_MODEL, FILM_MODEL = "model-1", "model-2"


@final
class FilmDemoFigures(BaseModel):
    """What both networks reached at the held-out hospital: PSNR in dB and SSIM on DRRs and on films."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    model_1_on_drrs: tuple[float, float]
    model_1_on_films: tuple[float, float]
    model_2_on_drrs: tuple[float, float]
    model_2_on_films: tuple[float, float]
    cases: int
    seconds: float


@final
class FilmDemo:
    """Runs a study of films, and before it the same study on DRRs alone.

    Args:
        study: its file; the source is ``film``.
        output: the folder of both runs, replaced where it holds an earlier demo.
        patients: virtual patients of every hospital, or None for each hospital's own number.
        stop: ends everything within seconds once it is set.
    """

    def __init__(self, study: Path, output: Path, patients: int | None, stop: threading.Event) -> None:
        self._study = study
        self._root = output.resolve()
        self._patients = patients
        self._stop = stop

    def run(self) -> FilmDemoFigures:
        """Archives with films, two runs, one table.

        Raises:
            Refusal: as :meth:`Demo.run`, and ``STUDY_INVALID`` if the study is not of films.
        """
        of_drrs = make_folder(self._root, mode=0o755) / "model-1.toml"
        write_document(on_drrs_alone(Study.from_toml(self._study)), of_drrs)
        first = self._ran(of_drrs, DRR_MODEL, None)
        second = self._ran(self._study, FILM_MODEL, self._root / DRR_MODEL)
        figures = film_demo_figures(first, second)
        write_atomic(self._root / "demo-xray.json", figures.model_dump_json(indent=1).encode(), mode=0o644)
        show_film_figures(figures, Console())
        return figures

    def _ran(self, study: Path, name: str, archives: Path | None) -> DemoFigures:
        plan = DemoPlan(
            study=study,
            output=self._root / name,
            ct=None,
            heads=(),
            port=0,
            patients=self._patients,
            hospitals=FILM_HOSPITALS,
            films=True,
            archives=archives,
        )
        return Demo(plan, self._stop).run()


def on_drrs_alone(study: Study) -> Study:
    """The same study, whose network trains on DRRs alone and is shown films in evaluation as well.

    Raises:
        Refusal: ``STUDY_INVALID`` if the study is not of films.
    """
    if study.radiograph.source != "film":
        what = f'radiograph.source is "{study.radiograph.source}"'
        raise Refusal(ExitCode.STUDY_INVALID, what, where=study.name, mend='give a study of source "film"')
    update = {
        "name": f"{study.name}-drr",
        "radiograph": study.radiograph.model_copy(update={"source": "both"}),
        "film": study.film.model_copy(update={"share": 0.0, "own": 0.0}),
    }
    return study.model_copy(update=update)


def film_demo_figures(first: DemoFigures, second: DemoFigures) -> FilmDemoFigures:
    """The figures of both runs side by side.

    Raises:
        Refusal: ``RUN_INVALID`` if too few held-out cases had films.
    """
    psnr, ssim, psnr_2, ssim_2 = (
        first.psnr_otherwise_db,
        first.ssim_otherwise,
        second.psnr_otherwise_db,
        second.ssim_otherwise,
    )
    if psnr is None or ssim is None or psnr_2 is None or ssim_2 is None:
        mend = "run it with more patients, or look at what became of the films on the held-out site's cohort page"
        raise Refusal(ExitCode.RUN_INVALID, "too few held-out cases have films", where=first.held_out, mend=mend)
    return FilmDemoFigures(
        model_1_on_drrs=(first.psnr_last_db, first.ssim_last),
        model_1_on_films=(psnr, ssim),
        model_2_on_drrs=(psnr_2, ssim_2),
        model_2_on_films=(second.psnr_last_db, second.ssim_last),
        cases=second.cases,
        seconds=first.seconds + second.seconds,
    )


def show_film_figures(figures: FilmDemoFigures, console: Console) -> None:
    """Print both networks on both kinds of radiographs."""
    table = Table(title=f"Held-out heads with films: {figures.cases}", title_justify="left")
    for heading in ("network", "on DRRs", "on films"):
        table.add_column(heading, justify="left" if heading == "network" else "right")
    for name, drrs, films in (
        ("model 1, trained on DRRs", figures.model_1_on_drrs, figures.model_1_on_films),
        ("model 2, trained on films", figures.model_2_on_drrs, figures.model_2_on_films),
    ):
        table.add_row(name, *(f"{psnr:.2f} dB, {ssim:.3f}" for psnr, ssim in (drrs, films)))
    console.print(table)
    console.print(f"both runs: {figures.seconds:.0f} s", highlight=False)
