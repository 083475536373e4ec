from __future__ import annotations

import re
from pathlib import Path

from common.errors import ExitCode, Refusal


def test_refusal_is_one_line_with_what_where_mend_and_code() -> None:
    refusal = Refusal(ExitCode.DISK_FULL, "no\nspace", where="/state\n", mend="free\tspace")
    assert str(refusal) == "no space [/state]; free space (exit 30)"


def test_every_exit_code_is_documented_with_its_number_and_nothing_else_is() -> None:
    rows = re.findall(r"^\| (\d+) \| `([A-Z_]+)` \|", Path("docs/errors.md").read_text(), flags=re.MULTILINE)
    assert {(int(number), name) for number, name in rows} == {(int(code), code.name) for code in ExitCode}
    assert len(rows) == len(ExitCode)
