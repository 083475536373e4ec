"""What names an agent, and what denies it, in many languages, cases and dashes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.header.contrast_words import names_agent

DENIED = """
NO CONTRAST|No contrast|no-contrast|NO_CONTRAST|NON CONTRAST|NON-CONTRAST|Non–contrast|NONCONTRAST|NOCONTRAST
NO IV CONTRAST
WITHOUT CONTRAST|WITHOUT|W/O|W/O CONTRAST|w/o iv contrast|WO CONTRAST|W/OUT CONTRAST|NONE|none given|NIL|N/A|NA
NOT APPLICABLE
UNENHANCED|UNENHANCED CT|NON ENHANCED|NATIVE|PLAIN|PRE CONTRAST|NCCT|CONTRAST: NONE|CONTRAST NO|NO|N|FALSE
OHNE KM|Ohne Kontrastmittel|ohne KM.|KEIN KM|kein Kontrastmittel|NATIV|nativ|OHNE|OHNEKM|NATIV-SCAN|KEINE
SANS INJECTION|sans injection|SANS CONTRASTE|SANS PDC|Sans produit de contraste|SANS IV|AUCUN|PAS D'INJECTION
SENZA MDC|SENZA M.D.C.|senza mezzo di contrasto|SENZA CONTRASTO|NESSUNO|BASALE|SIN CONTRASTE|sin contraste iv|S/C
S/CONTRASTE
SEM CONTRASTE|SEM|ZONDER CONTRAST|GEEN CONTRAST|BLANCO|UDEN KONTRAST|UTEN KONTRAST|UTAN KONTRASTMEDEL|ILMAN KONTRASTIA
BEZ KONTRASTU|BEZ KONTRASTA|KONTRASTSIZ|FARA CONTRAST|БЕЗ КОНТРАСТА|без контраста|単純|无
-|--|–|—|.|?|*|0|0.0|000|0 ML|0ml|000000|00:00:00
"""
NAMED = """
OMNIPAQUE|OMNIPAQUE 350|IOHEXOL|ULTRAVIST-300|IODINE|IV|ORAL|YES|APPLIED|CE|CONTRAST|WITH CONTRAST|MIT KM
AVEC INJECTION|CON MDC
C/C|CON CONTRASTE|COM CONTRASTE|W CONTRAST|W|POST CONTRAST|PRE AND POST CONTRAST|WITH AND WITHOUT CONTRAST
W/O & W CONTRAST
NON IONIC|NON-IONIC CONTRAST|NONIONIC|NO REACTION OMNIPAQUE|KM|KONTRASTMITTEL|100|1.5|80 ML|0.5|101500|UNKNOWN
"""


def listed(text):
    return [word for line in text.strip().splitlines() for word in line.split("|")]


@pytest.mark.parametrize("said", listed(DENIED))
def test_words_that_deny_are_no_contrast(said):
    assert not names_agent(said)


@pytest.mark.parametrize("said", listed(NAMED))
def test_words_that_name_an_agent_or_that_nobody_knows_are_contrast(said):
    assert names_agent(said)


@given(st.sampled_from(listed(DENIED)), st.sampled_from([str.upper, str.lower, str.title]), st.text(" \t", max_size=3))
def test_case_and_space_change_nothing(said, case, space):
    assert not names_agent(f"{space}{case(said)}{space}")


@given(st.text(max_size=40))
def test_any_text_is_answered(said):
    assert names_agent(said) in (True, False)


@given(st.sampled_from(listed(DENIED)), st.sampled_from(["OMNIPAQUE", "IOPAMIDOL 300", "80 ML"]))
def test_a_denial_beside_an_agent_does_not_hide_it(denied, agent):
    assert names_agent(f"{denied} {agent}")
