"""In which language, and by which clock, a request wants the sentence for a place."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Final, NoReturn
from zoneinfo import ZoneInfo

from fastapi import Query

from model.core.point_sentence import DEFAULT_LANGUAGE, LANGUAGES, SentenceStyle
from service.api.errors import InvalidParameter
from service.api.nowcasts.negotiation import by_preference

MAX_HEADER: Final = 200
"""Characters of `Accept-Language` that are looked at."""
MAX_TAG: Final = 35
"""Of the longest language tags that software has to know (RFC 5646, section 4.4.1)."""

Language = Annotated[
    str | None,
    Query(
        max_length=MAX_TAG,
        description="Of the sentence, as a language tag; overrides Accept-Language.",
        json_schema_extra={"enum": [*LANGUAGES]},
    ),
]
TimeZone = Annotated[
    str | None,
    Query(
        max_length=64,
        description="IANA time zone, such as Europe/Helsinki, by whose clock the sentence tells times; without it the "
        "sentence tells minutes.",
    ),
]


def style_of(
    language: str | None, time_zone: str | None, accept_language: str | None, *, start_in_minutes: bool = True
) -> SentenceStyle:
    """Return how to write the sentence: by the parameters, else the header, else in English and in minutes.

    Raises
    ------
    InvalidParameter
        There are no messages in that language, or there is no such time zone.
    """
    return _style(language, time_zone, (accept_language or "")[:MAX_HEADER], start_in_minutes)


@lru_cache(maxsize=512)
def _style(language: str | None, time_zone: str | None, accept_language: str, start_in_minutes: bool) -> SentenceStyle:
    if language is None:
        wanted = (_known(tag) for tag in by_preference(accept_language))
        chosen = next(filter(None, wanted), DEFAULT_LANGUAGE)
    else:
        chosen = _known(language) or _unknown("language", language, f"Choose one of {', '.join(LANGUAGES)}")
    zone = None if time_zone is None else _zone(time_zone)
    return SentenceStyle(language=chosen, zone=zone, start_in_minutes=start_in_minutes)


def _known(tag: str) -> str | None:
    """Return the language of a tag, such as `de` of `de-AT`; None where there are no messages in it."""
    primary = tag.partition("-")[0].lower()
    return primary if primary in LANGUAGES and len(tag) <= MAX_TAG else None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):  # also of names that are no file name
        return _unknown("time_zone", name, "Give a name of the IANA time zone database, such as Europe/Helsinki")


def _unknown(where: str, value: str, hint: str) -> NoReturn:
    raise InvalidParameter(f"{value[:64]!r} is not known", where=where, hint=hint)
