"""Input of every reader: a file with the name that its user knows, and the options of the call.

Also the boundary that turns the exceptions of decoding libraries into errors with the name of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from model.core.errors import InputError, NotARadarFile, TooLarge, UnknownVariable
from model.core.sequence import FrameSequence
from model.core.units import DEFAULT_MAX_DBZ
from model.readers.limits import FETCH_AGAIN, PixelBudget

HEAD_BYTES: Final = 1024
GIVE_OBSERVATIONS: Final = "Give observations: a nowcast starts from radar measurements"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file to read, and the name by which its user knows it.

    Files around a path that the user named belong to the user, too, and readers may open them. An `upload` has a
    temporary path in a folder that other users share. `inner_name` is the name of the file inside a compressed one.
    """

    path: Path
    name: str
    upload: bool = False
    inner_name: str | None = None

    @property
    def content_name(self) -> str:
        """The name of the decompressed content, for formats that hold the valid time in the file name only."""
        return self.inner_name or self.name


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Choices of the caller.

    `variable` and `zr` None leave the choice to the format; `max_dbz` is the hail cap. `isolated`: this process may be
    lost to a file, so that no library needs a process of its own.
    """

    variable: str | None = None
    zr: str | None = None
    max_dbz: float = DEFAULT_MAX_DBZ
    isolated: bool = False
    budget: PixelBudget = field(default_factory=PixelBudget)

    def check_single_variable(self, name: str) -> None:
        """Check the requested variable against the only one that the format holds.

        Raises
        ------
        UnknownVariable
            The request is for another variable.
        """
        if self.variable not in (None, name):
            raise UnknownVariable(
                f"there is no variable {self.variable!r}: this format holds one variable, {name}",
                hint=f"Leave the variable out, or request {name}",
            )


Matches = Callable[[bytes, Path], bool]
"""Whether a file (its first bytes, its path) has a format, by content and never by name."""
ReadFrames = Callable[[Sequence[Source], ReadOptions], Iterator[tuple[Source, FrameSequence]]]
"""Yield one sequence for each file that holds frames; all files have the same format."""


def read_head(source: Source) -> bytes:
    """Return the first bytes of a file, which tell its format.

    Raises
    ------
    NotARadarFile
        The file is absent, empty or a folder, or cannot be opened.
    """
    try:
        with source.path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError:
        raise NotARadarFile("no such file", where=source.name, hint="Check the path") from None
    except IsADirectoryError:
        raise NotARadarFile("this is a folder", where=source.name, hint="Give the files in the folder") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the path is not valid"
        raise NotARadarFile(
            f"the file cannot be opened ({reason})", where=source.name, hint="Check the path and its permissions"
        ) from None
    if not head:
        raise NotARadarFile("the file is empty (0 bytes)", where=source.name, hint="Give a whole file")
    return head


@contextmanager
def input_errors(source: Source, format_name: str) -> Iterator[None]:
    """Turn any exception of a decoding library into NotARadarFile, and name the file in every InputError.

    Decoding libraries raise nearly anything on damaged input (OSError, KeyError, RuntimeError, struct.error,
    ...), so this boundary catches every Exception; the cause stays attached. A request to stop
    (`model.core.interrupt.Interrupted`, KeyboardInterrupt) is a BaseException and passes.
    """
    try:
        yield
    except InputError as error:
        if source.name in error.where:
            raise
        where = f"{source.name} ({error.where})" if error.where else source.name
        raise type(error)(error.what, where=where, hint=error.hint) from error
    except MemoryError as error:
        raise TooLarge("too little memory to read the file", where=source.name, hint="Give less at once") from error
    except Exception as error:
        text = " ".join(str(error).replace(str(source.path), source.name).split()) or type(error).__name__
        raise NotARadarFile(
            f"the file cannot be read as {format_name}: {text[:300]}", where=source.name, hint=FETCH_AGAIN
        ) from error


def file_by_file(read_file: Callable[[Source, ReadOptions], FrameSequence], format_name: str) -> ReadFrames:
    """Make a `read_frames` of a function that reads one file, for formats whose files do not depend on each other."""

    def read_frames(sources: Sequence[Source], options: ReadOptions) -> Iterator[tuple[Source, FrameSequence]]:
        for source in sources:
            with input_errors(source, format_name):
                frames = read_file(source, options)
            yield source, frames

    return read_frames
