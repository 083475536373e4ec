from __future__ import annotations

from client.archive import VerdictCode
from common.plausibility import EXCLUSION_CODES


def test_registrations_count_by_the_codes_of_verdicts_and_no_others() -> None:
    assert {code.value for code in VerdictCode} - {"accepted"} == EXCLUSION_CODES
