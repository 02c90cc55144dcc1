"""Valid times in file names, by a pattern like `%Y/%m/%d/radar_%H%M.png`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from model.core.errors import InputError

DIRECTIVES: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{"Y": r"\d{4}", "y": r"\d\d", "m": r"\d\d", "d": r"\d\d", "j": r"\d{3}"},
        **{"b": "[A-Za-z]{3}", "B": "[A-Za-z]+"},
        **{"H": r"\d\d", "I": r"\d\d", "M": r"\d\d", "S": r"\d\d", "p": "[AaPp][Mm]", "f": r"\d{1,6}"},
        **{"z": r"Z|[+-]\d\d:?\d\d", "s": r"\d{9,11}"},
    }
)
"""The text that each directive of `strptime` matches; `%s`, which `strptime` lacks, is seconds since 1970."""
PREFERRED: Final = (("Y", "y"), ("H", "I"), ("m", "b"), ("m", "B"))
"""If a pattern has two directives for the same quantity, the first is parsed, and the second must agree with it."""
WILD: Final = {"*": "[^/]*", "?": "[^/]"}
TOKEN: Final = re.compile(r"%(.?)|([*?])|([^%*?]+)", re.DOTALL)
DATES: Final = ({"s"}, *({year, *day} for year in "Yy" for day in ("j", "md", "bd", "Bd")))


@dataclass(frozen=True)
class TimePattern:
    """A pattern of file names.

    `text`: directives of `datetime.strptime` (UTC unless `%z` is among them), `%s` (seconds since 1970), and the
    wildcards `*` and `?`. It is matched against the end of a path, with as many folders as the pattern has.

    Raises
    ------
    InputError
        A directive is unknown, or the directives do not define a date.
    """

    text: str

    def __post_init__(self) -> None:
        found = re.findall(r"%(.?)", self.text.replace("%%", ""))
        unknown = next((name for name in found if name not in DIRECTIVES), None)
        if unknown is not None:
            raise InputError(
                f"%{unknown} is not a directive of file names",
                where=f"--pattern {self.text}",
                hint=f"Choose among {' '.join(f'%{name}' for name in DIRECTIVES)}, and %% for a percent sign",
            )
        if not any(date <= set(found) for date in DATES):
            raise InputError(
                "it does not define the date",
                where=f"--pattern {self.text}",
                hint="Add %Y, %m and %d, of folders too: '%Y/%m/%d/*_%H%M.png'",
            )

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        parts, seen = [r"(?:^|/)"], set[str]()
        for name, wild, literal in TOKEN.findall(self.text.lstrip("/")):
            if wild or literal:
                parts.append(WILD.get(wild) or re.escape(literal))
            elif name == "%":
                parts.append("%")
            else:
                parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{DIRECTIVES[name]})")
                seen.add(name)
        return re.compile(f"{''.join(parts)}$")

    def parse(self, path: Path) -> np.datetime64 | None:
        """Return the valid time (UTC, to the second) in a path; None if there is no match or no such time."""
        match = self._expression.search(path.absolute().as_posix())
        values = match.groupdict() if match else {}
        try:
            moment = _moment(values) if values else None
        except (ValueError, OverflowError):
            return None
        return None if moment is None else np.datetime64(moment.replace(tzinfo=None), "s")


def _moment(values: Mapping[str, str]) -> datetime | None:
    """Return the moment (UTC) that directives and their texts define; None if two of them contradict each other."""
    if "s" in values:
        moment = datetime.fromtimestamp(int(values["s"]), UTC)
    else:
        redundant = {other for first, other in PREFERRED if {first, other} <= set(values)}
        names = [name for name in values if name not in redundant]
        text, form = ("\n".join(parts) for parts in ([values[name] for name in names], [f"%{n}" for n in names]))
        moment = datetime.strptime(text, form)  # noqa: DTZ007  (without %z it is UTC)
    for name, text in values.items():
        if name not in "zf" and moment.strftime(f"%{name}").lower() != text.lower() and name != "s":
            return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
