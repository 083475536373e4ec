"""The documentation lists every verdict on films as the code says it, in its order."""

from __future__ import annotations

import re
from pathlib import Path

from client.radiographs import MENDS, REASONS, FilmVerdict

PAGE = Path(__file__).resolve().parents[3] / "docs" / "radiographs.md"


def test_the_documented_table_is_the_codes_of_films():
    _, section = PAGE.read_text(encoding="utf-8").split("## Verdicts\n")
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|$", section, flags=re.MULTILINE)
    assert rows == [(code.value, REASONS[code], MENDS.get(code, "–")) for code in FilmVerdict]
