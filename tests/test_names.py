"""A file's name says where it is: no two of the product share one, unless they play the same role in two wings."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

PRODUCT = ("common", "client", "server")
SAME_ROLE = {
    "__init__": "the face of a folder",
    "cli": "what a side's command line parses",
    "page": "what writes a wing's page",
    "replies": "a site's finished replies, and what the coordinator checks of them",
    "session": "a conversation with a PACS, and one with the coordinator",
    "settings": "what a settings file says",
}
# Files there are named by their commands, which are often named by what they show.
NAMED_BY_COMMAND = "client/commands"


def _shared() -> dict[str, list[str]]:
    places = defaultdict(list)
    for folder in PRODUCT:
        for path in Path(folder).rglob("*.py"):
            if path.parent.as_posix() != NAMED_BY_COMMAND:
                places[path.stem].append(path.as_posix())
    return {name: found for name, found in places.items() if len(found) > 1}


def test_no_two_files_of_the_product_share_a_name_but_those_of_one_role() -> None:
    assert {name: places for name, places in _shared().items() if name not in SAME_ROLE} == {}


def test_every_role_that_is_excused_is_played_twice() -> None:
    assert set(SAME_ROLE) == set(_shared())
