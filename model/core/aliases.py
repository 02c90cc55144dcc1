"""Aliases of models, such as `champion`: movable names, each pinned to a version and the digest of its package.

`aliases.json` in a folder of packages holds the aliases and the history of every change. The file is replaced as a
whole under a lock, so that of two simultaneous changes neither is lost.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field, ValidationError

from model.core.atomic import translate_write_errors, write_atomically
from model.core.errors import InputError
from model.core.locks import file_lock
from model.core.manifest import Frozen, Name, first_problem

ALIASES: Final = "aliases.json"
LOCK: Final = ".aliases.lock"
CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"

Action = Literal["promote", "rollback", "alias", "remove"]


class BadAliases(InputError):
    """The file of aliases is damaged."""

    code = "bad-aliases"


class PinnedVersion(Frozen):
    """A version of a model, `NAME@VERSION`, and the digest of its package at that time (empty: a baseline)."""

    model: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}@\d+(\.\d+){0,2}$")]
    digest: str


class Gate(Frozen):
    """Result of a promotion gate: `value` of `what`, with its interval `low` to `high`, compared with `limit`.

    `passed` None: the gate is inconclusive, which blocks a promotion.
    """

    gate: Literal["csi", "extrapolation", "brier", "crps", "parity", "latency"]
    what: str
    passed: bool | None
    archive: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    note: str = ""


class AliasChange(Frozen):
    """One change of an alias: time (UTC), user, target before and after (None: no target), and reason.

    A promotion also records the results of the `gates`, the `protocol`, and the digests of the `archives` by name.
    `forced`: a gate did not pass; `reason` is then not empty.
    """

    alias: Name
    action: Action
    when: AwareDatetime
    by: str
    before: PinnedVersion | None
    after: PinnedVersion | None
    forced: bool = False
    reason: str = ""
    gates: tuple[Gate, ...] = ()
    protocol: str = ""
    archives: dict[str, str] = Field(default_factory=dict)


class Aliases(Frozen):
    """Content of `aliases.json`; the history starts with the oldest change."""

    schema_version: Literal[1] = 1
    aliases: dict[Name, PinnedVersion] = Field(default_factory=dict)
    history: tuple[AliasChange, ...] = ()

    def champions(self) -> list[PinnedVersion]:
        """Return the champion and the champions before it, newest first: the way back of rollbacks."""
        champions: list[PinnedVersion] = []
        for change in self.history:
            if change.alias == CHAMPION and change.action == "promote" and change.after is not None:
                champions.append(change.after)
            elif change.alias == CHAMPION and change.action == "rollback" and champions:
                champions.pop()
        current = self.aliases.get(CHAMPION)
        if current is not None and champions[-1:] != [current]:
            champions.append(current)
        return champions[::-1] if current is not None else []

    def with_change(self, change: AliasChange) -> Aliases:
        """Return the aliases after one more change."""
        others = {name: pin for name, pin in self.aliases.items() if name != change.alias}
        aliases = others | ({change.alias: change.after} if change.after is not None else {})
        return self.model_copy(update={"aliases": aliases, "history": (*self.history, change)})


def read_aliases(folder: Path) -> Aliases:
    """Read the aliases of a folder of packages; empty where there is no file.

    Raises
    ------
    BadAliases
        The file cannot be read, or does not fit the schema.
    """
    path = folder / ALIASES
    hint = "Correct the file, or move it away (the aliases and their history go with it) and promote a model again"
    try:
        return Aliases.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return Aliases()
    except OSError as error:
        raise BadAliases(f"the aliases cannot be read ({error.strerror})", where=str(path), hint=hint) from None
    except ValidationError as error:
        raise BadAliases(f"the aliases are damaged ({first_problem(error)})", where=str(path), hint=hint) from None


def change_alias(folder: Path, decide: Callable[[Aliases], AliasChange]) -> AliasChange:
    """Change an alias under the lock.

    Parameters
    ----------
    folder
        The folder of packages.
    decide
        Makes the change from the present aliases; an exception cancels the change.

    Returns
    -------
    AliasChange
        The change that was made.

    Raises
    ------
    BadAliases
        The file is damaged, and stays untouched.
    InputError
        The folder is not writable.
    """
    with _changing(folder):
        aliases = read_aliases(folder)
        change = decide(aliases)
        with _writing(folder):
            content = aliases.with_change(change).model_dump_json(indent=2) + "\n"
            write_atomically(folder / ALIASES, content.encode())
        return change


def check_writable(folder: Path) -> None:
    """Raise the errors of `change_alias` now, before a long evaluation starts."""
    with _changing(folder):
        read_aliases(folder)


def user_name() -> str:
    """Return the user for the history; empty where the system does not know."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def now_utc() -> datetime:
    """Return the time of a change, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


@contextmanager
def _changing(folder: Path) -> Iterator[None]:
    """Hold the lock; the kernel releases it when the process ends, in whatever way."""
    with ExitStack() as held:
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(file_lock(folder / LOCK, wait=True))
        yield


def _writing(folder: Path) -> AbstractContextManager[None]:
    return translate_write_errors(
        folder / ALIASES, hint="Make the folder writable, or name another folder with --packages"
    )
