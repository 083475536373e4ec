"""The documentation lists every verdict as the code says it, in the order in which they are judged."""

from __future__ import annotations

import re
from pathlib import Path

from client.archive.verdict_codes import VerdictCode
from client.cohort.verdict_wording import MENDS, REASONS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "cohort.md"


def test_the_documented_table_is_the_codes():
    (section,) = re.findall(r"^## Verdicts$(.*?)^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|$", section, flags=re.MULTILINE)
    assert rows == [(code.value, REASONS[code], MENDS.get(code, "–")) for code in VerdictCode]
