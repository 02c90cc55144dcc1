"""Errors that a user can cause. Each says what is wrong, where, and a hint; one table maps them to HTTP."""

from __future__ import annotations

from typing import ClassVar


class InputError(Exception):
    """Bad input: `what` is wrong, `where` (a file, a parameter), and the `hint`.

    `code` is a stable identifier: the tail of the problem's `type` URI over HTTP, and part of `--json` output.
    """

    code: ClassVar[str] = "bad-input"

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(what, where, hint)

    def __str__(self) -> str:
        """One line: what, where, a hint."""
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
    code = "not-a-radar-file"


class FutureFrame(NotARadarFile):
    code = "future-frame"


class UnknownVariable(InputError):
    code = "unknown-variable"


class MixedGrids(InputError):
    code = "mixed-grids"


class DuplicateTimes(InputError):
    code = "duplicate-times"


class TooFewFrames(InputError):
    code = "too-few-frames"


class IrregularTimeStep(InputError):
    code = "irregular-time-step"


class NoData(InputError):
    code = "no-data"


class StepsOutOfRange(InputError):
    code = "steps-out-of-range"


class UnknownModel(InputError):
    code = "unknown-model"


class BadPackage(InputError):
    code = "bad-package"


class TooLarge(InputError):
    code = "too-large"


class MissingDependency(InputError):
    code = "missing-dependency"


class OutOfMemory(InputError):
    code = "out-of-memory"


class DeviceLost(Exception):
    """The device that a graph ran on does not answer any more: this process can make no nowcast. Nobody's input."""
