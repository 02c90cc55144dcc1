"""Errors that users can cause, each with the problem, the place and a hint; the service maps their codes to HTTP."""

from __future__ import annotations

from typing import ClassVar


class InputError(Exception):
    """Bad input: `what` is wrong, `where` (a file or a parameter), and a `hint` at the way out.

    `code` is a stable identifier: the tail of the problem's `type` URI over HTTP, and part of `--json` output.
    """

    code: ClassVar[str] = "bad-input"

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(what, where, hint)

    def __str__(self) -> str:
        """Return one line with the place, the problem and the hint."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}. {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.hint)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text that is not blank; for an empty text, the name of the error's type."""
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _rebuild(kind: type[InputError], what: str, where: str, hint: str) -> InputError:
    return kind(what, where=where, hint=hint)


class NotARadarFile(InputError):
    """A file cannot be read as observed radar frames."""

    code = "not-a-radar-file"


class FutureFrame(NotARadarFile):
    """A valid time is ahead of the clock."""

    code = "future-frame"


class UnknownVariable(InputError):
    """A file does not hold the requested variable, or no rain at all."""

    code = "unknown-variable"


class MixedGrids(InputError):
    """Frames lie on different grids."""

    code = "mixed-grids"


class DuplicateTimes(InputError):
    """A valid time occurs twice."""

    code = "duplicate-times"


class TooFewFrames(InputError):
    """There are fewer frames than a model needs."""

    code = "too-few-frames"


class IrregularTimeStep(InputError):
    """The steps between frames differ too much."""

    code = "irregular-time-step"


class NoData(InputError):
    """Frames hold no data where data are needed."""

    code = "no-data"


class StepsOutOfRange(InputError):
    """A model cannot forecast so many lead steps."""

    code = "steps-out-of-range"


class UnknownModel(InputError):
    """No model has the requested name or version."""

    code = "unknown-model"


class BadPackage(InputError):
    """A model package is incomplete, damaged or changed."""

    code = "bad-package"


class TooLarge(InputError):
    """Input exceeds a limit of size or memory."""

    code = "too-large"


class MissingDependency(InputError):
    """An optional dependency is not installed."""

    code = "missing-dependency"


class OutOfMemory(InputError):
    """A device has too little memory for the nowcast."""

    code = "out-of-memory"


class DeviceLost(Exception):
    """The device of a graph stopped responding: this process cannot make nowcasts any more. Not an error of input."""


class BadGeometry(InputError):
    """What is sent as an area, or as a place, is none."""

    code = "bad-geometry"


class WrongCrs(InputError):
    """Coordinates are not longitude and latitude."""

    code = "wrong-crs"
