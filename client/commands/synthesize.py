"""``tomoray-site synthesize``: a marked synthetic CT of two films by a released network, or one line of why not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from client.commands.release import key_of
from client.pacs import Destination, send_objects
from client.settings import SiteSettings
from client.synthesis import MARK, ChosenPair, FilmSynthesis, chosen_pair, film_synthesis, write_film_synthesis
from common.errors import ExitCode, Refusal
from common.files import expect_no_content
from common.release import NetworkRelease, read_release
from common.study import Study

SETTINGS_HERE: Final = Path("site.toml")


def settings_of(file: Path | None, key: Path | None) -> SiteSettings | None:
    """The settings named, or those in this folder where neither they nor a key are named.

    Raises:
        Refusal: ``SETTINGS_INVALID`` naming the first field that is wrong.
    """
    if file is None and key is None and SETTINGS_HERE.is_file():
        file = SETTINGS_HERE
    return None if file is None else SiteSettings.from_toml(file)


def synthesize_films(
    places: Sequence[Path],
    model: Path,
    out: Path,
    *,
    key: Path | None = None,
    settings: SiteSettings | None = None,
    study: Path | None = None,
    refine_poses: bool = True,
    de_identified: bool = False,
    burn_in: bool = False,
    send: str | None = None,
) -> None:
    """Write a synthetic CT of two films into a new folder, and say what it was made of.

    Args:
        places: files or folders that hold the films, in any order.
        model: folder of the release.
        out: the new folder.
        key: file of the coordinator's key for releases.
        settings: or the site's, with the pinned key.
        study: file of the study that the release must be of; any if not given.
        refine_poses: whether the films are registered to the average head.
        de_identified: whether the series is nobody's.
        burn_in: whether the mark stands in the pixels as well.
        send: name of the destination in the settings that the DICOM files are sent to.

    Raises:
        Refusal: what the output folder, the release and the films refuse, in this order; nothing is then written.
            What a destination refuses afterwards leaves the folder there.
    """
    destination = _destination(settings, send)
    expect_no_content(out)
    asked = None if study is None else Study.from_toml(study)
    release = read_release(model, key_of(key, settings), asked)
    pair = chosen_pair(places)
    for one in pair.both:
        print(f"{one.view}: {one.place} ({one.view_by})")
    if pair.set_aside:
        print(f"set aside: {pair.set_aside} other files")
    synthesis = film_synthesis(pair, release, refine_poses=refine_poses)
    write_film_synthesis(out, synthesis, release, de_identified=de_identified, burn_in=burn_in)
    print("\n".join(_lines(pair, synthesis, release, out)))
    if destination is not None and send is not None:
        files = sorted(out.rglob("*.dcm"))
        send_objects(destination, send, files)
        print(f"sent: {len(files)} objects to {send}")


def _destination(settings: SiteSettings | None, name: str | None) -> Destination | None:
    """Asked for first, so that a typo does not cost a synthesis."""
    if name is None:
        return None
    if settings is None:
        raise Refusal(ExitCode.USAGE, "no settings that name a destination", where="--send", mend="give --settings")
    return settings.destination(name)


def _lines(pair: ChosenPair, synthesis: FilmSynthesis, release: NetworkRelease, out: Path) -> list[str]:
    lines = []
    for one, pose in zip(pair.both, synthesis.films.poses, strict=True):
        notes = ", ".join(one.film.notes) or "nothing concluded"
        placed = "nominal" if pose is None else f"by the average head, likeness {pose.likeness:.2f}"
        lines.append(f"{one.view}: pose {placed}; notes: {notes}")
    limit = release.card.reprojection_limit
    allowed = "the release states no limit" if limit is None else f"the release allows {limit:.3f}"
    lines.append(f"re-projection error {synthesis.reprojection:.3f}; {allowed}")
    if synthesis.made.sd_hu is None:
        lines.append("no uncertainty: this network predicts none")
    return [*lines, f"written: {out}", MARK]
