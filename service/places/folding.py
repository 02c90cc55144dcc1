"""Names as they are compared: without case, diacritics and punctuation."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

LETTERS: Final = str.maketrans(
    {"ø": "o", "đ": "d", "ð": "d", "ł": "l", "æ": "ae", "œ": "oe", "þ": "th", "ı": "i", "ħ": "h", "ŧ": "t"}
    | dict.fromkeys("'’‘ʼʻ`´ʹ", "")
)
"""Letters that Unicode does not decompose, and marks within words."""
BETWEEN_WORDS: Final = re.compile(r"[\W_]+")


def fold(name: str) -> str:
    """Return a name as it is compared: `'s-Hertogenbosch` is `s hertogenbosch`, `Zürich` is `zurich`."""
    decomposed = unicodedata.normalize("NFKD", name.casefold().translate(LETTERS))
    bare = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return BETWEEN_WORDS.sub(" ", bare).strip()


def without_umlaut_letters(folded: str) -> str:
    """Return a folded name with the letters that stand for umlauts as `fold` has them: `muenchen` is `munchen`."""
    return folded.replace("ae", "a").replace("oe", "o").replace("ue", "u")
