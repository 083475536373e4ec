"""Whether what a header says of a contrast agent names one, or denies it: fixed words of many languages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from client.header.word_list import word_list

_DENIES: Final = word_list("""
    NO NON NOT NONE NIL NULL NA NEGATIVE WITHOUT WO OFF FALSE NOTHING NEVER DENIED UNENHANCED NONENHANCED NONCONTRAST
    NONCONTRASTED NCCT NECT PLAIN PRE PRECONTRAST NATIV NATIVE NATIVES NATIVER NATIVO NATIVA NATIF NATIEF
    NATIVSCAN NATYWNE OHNE KEIN KEINE KEINES KEINER NEIN NICHT LEER SANS AUCUN AUCUNE PAS SENZA NESSUNO NESSUNA BASALE
    DIRETTA SIN NINGUN NINGUNO NINGUNA SIMPLE SEM NENHUM NENHUMA SIMPLES ZONDER GEEN BLANCO UDEN UTEN UTAN INGEN INGA
    INTE ILMAN EI NATIIVI BEZ BRAK NIE NENI ZADNY ZADNA FARA NINCS NELKUL KONTRASTSIZ YOK HAYIR OLMADAN TANPA
    БЕЗ НЕТ НЕ НАТИВНО НАТИВНОЕ ΧΩΡΙΣ ΟΧΙ なし 無し 無 单纯 単純 平扫 平掃 无
""")
_SPEAKS_OF: Final = word_list("""
    CONTRAST CONTRASTS CONTRASTED CONTRASTE CONTRASTO CONTRASTMIDDEL CONTRASTMEDIUM CONTRASTVLOEISTOF KONTRAST KONTRASTE
    KONTRASTMITTEL KONTRASTMITTELS KONTRASTMITTELGABE KONTRASTMEDEL KONTRASTMIDDEL KONTRASTSTOF KONTRASTU KONTRASTEM
    KONTRASTA KONTRASTI KONTRASTIN KONTRASTIA KONTRASTLI KONTRASTNI KONTRASTNIHO KONTRASTAINETTA KONTRASTANYAG KM KMGABE
    MDC MC CM PDC IC IV I V EV INJECTION INJECTE INJ INJEKTION INIEZIONE INYECCION INJECAO INIEKCJI AGENT AGENTS MEDIUM
    INJECTIONS MEDIA MEZZO MEDIO MEIO PRODUIT PRODUCT DYE DI DE D DU DEL BOLUS GIVEN ADMINISTERED ADMINISTRATION
    APPLICABLE USED ENHANCED ENHANCEMENT INTRAVENOUS SCAN SCANS CT TC TDM SERIES SERIE STUDY EXAM PHASE КОНТРАСТ
    КОНТРАСТА КОНТРАСТИРОВАНИЯ КВ В
    ΣΚΙΑΓΡΑΦΙΚΟ 造影 造影剤 增强 造影剂 顯影劑
""")
_RUN_TOGETHER: Final = frozenset(f"{no}{noun}" for no in _DENIES for noun in _SPEAKS_OF)
_NOTHING: Final = re.compile(r"[.,:\s]*|[0.,:\s]*0[0.,:\s]*(ML|CC|MG|MGI|G|S|SEC)?(/(ML|S|SEC))?")
_ABBREVIATED: Final = (
    (re.compile(r"(?<=\b\w)\.(?=\w\b)"), ""),
    (re.compile(r"\bW\s*/\s*O(UT)?\b"), "WITHOUT "),
    (re.compile(r"\bS\s*/\s*(?=\w{2})"), "SIN "),
)
_SHORT: Final = {"S/C": "SIN CONTRASTE", "N/A": "NA", "N.A.": "NA", "N": "NO", "F": "NO"}


def names_agents(said: Iterable[str]) -> bool:
    """Whether one of several values names an agent."""
    return any(map(names_agent, said))


@lru_cache(maxsize=1024)
def names_agent(said: str) -> bool:
    """Whether a value of one of the attributes that say contrast is an agent, and not a word or a number for none.

    A text denies if it holds nothing but words of the fixed lists and one of those that deny: ``OHNE KM`` does,
    ``WITH AND WITHOUT CONTRAST`` does not. A number denies if it is zero.
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", said.upper()) if not unicodedata.combining(c)).strip()
    if _NOTHING.fullmatch(plain):
        return False
    for pattern, written in _ABBREVIATED:
        plain = pattern.sub(written, plain)
    words = re.findall(r"[^\W_]+", _SHORT.get(plain, plain))
    known = all(word in _DENIES or word in _SPEAKS_OF or word in _RUN_TOGETHER for word in words)
    denies = not words or any(word in _DENIES or word in _RUN_TOGETHER for word in words)
    return not (known and denies)
