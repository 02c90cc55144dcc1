"""Aliases of models, `champion` among them: names that move, each pinned to one version and its package's digest.

They lie in `aliases.json` of a folder of packages, with the history of every move. The file is written whole, under a
lock: of two moves at once neither is lost.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field, ValidationError

from model.core.atomic import write_atomically
from model.core.errors import InputError
from model.core.locks import file_lock
from model.core.manifest import Frozen, Name

ALIASES: Final = "aliases.json"
LOCK: Final = ".aliases.lock"
CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"

Action = Literal["promote", "rollback", "alias", "remove"]


class BadAliases(InputError):
    code = "bad-aliases"


class PinnedVersion(Frozen):
    """One version of a model, `NAME@VERSION`, and the digest that its package then had (empty: a baseline)."""

    model: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}@\d+(\.\d+){0,2}$")]
    digest: str


class Gate(Frozen):
    """What one gate found. `passed` None: it could not be judged, which does not let a model through.

    `value` (between `low` and `high`, where it has an interval) of `what` is held against `limit`.
    """

    gate: Literal["csi", "extrapolation", "parity", "latency"]
    what: str
    passed: bool | None
    archive: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    note: str = ""


class AliasChange(Frozen):
    """One move of an alias: when (UTC), by which user, from what to what (None: nothing), and why.

    Of a promotion also what the `gates` found, under which `protocol`, on which `archives` (as named -> digest).
    `forced`: it went against gates that did not pass; then there is a `reason`.
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
    """What `aliases.json` holds. `history`: oldest first."""

    schema_version: Literal[1] = 1
    aliases: dict[Name, PinnedVersion] = Field(default_factory=dict)
    history: tuple[AliasChange, ...] = ()

    def champions(self) -> list[PinnedVersion]:
        """The champion, and those that it was promoted over, newest first: what a rollback goes back through."""
        line: list[PinnedVersion] = []
        for move in self.history:
            if move.alias == CHAMPION and move.action == "promote" and move.after is not None:
                line.append(move.after)
            elif move.alias == CHAMPION and move.action == "rollback" and line:
                line.pop()
        now = self.aliases.get(CHAMPION)
        if now is not None and line[-1:] != [now]:
            line.append(now)
        return line[::-1] if now is not None else []

    def with_change(self, move: AliasChange) -> Aliases:
        """The same after one more move."""
        others = {name: pin for name, pin in self.aliases.items() if name != move.alias}
        aliases = others | ({move.alias: move.after} if move.after is not None else {})
        return self.model_copy(update={"aliases": aliases, "history": (*self.history, move)})


def read_aliases(folder: Path) -> Aliases:
    """The aliases of a folder of packages; none where it has no such file.

    Raises
    ------
    BadAliases
        The file cannot be read, or is not what this module writes.
    """
    path = folder / ALIASES
    hint = "Correct the file, or move it away (the aliases and their history go with it) and promote a model anew"
    try:
        return Aliases.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return Aliases()
    except OSError as error:
        raise BadAliases(f"the aliases cannot be read ({error.strerror})", where=str(path), hint=hint) from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise BadAliases(f"the aliases are damaged ({field}: {first['msg']})", where=str(path), hint=hint) from None


def change_alias(folder: Path, decide: Callable[[Aliases], AliasChange]) -> AliasChange:
    """Make the move that `decide` makes of the aliases as they are now; it may raise, and nothing is moved.

    Raises
    ------
    BadAliases
        The file is damaged: it is left as it is.
    InputError
        The folder cannot be written.
    """
    with _changing(folder):
        aliases = read_aliases(folder)
        made = decide(aliases)
        with _writing(folder):
            content = aliases.with_change(made).model_dump_json(indent=2) + "\n"
            write_atomically(folder / ALIASES, content.encode())
        return made


def check_writable(folder: Path) -> None:
    """Raise what `change_alias` would, before anything long is begun."""
    with _changing(folder):
        read_aliases(folder)


def user_name() -> str:
    """Who moves an alias, for the history; empty where the system does not tell."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def now_utc() -> datetime:
    """The time of a move, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


@contextmanager
def _changing(folder: Path) -> Iterator[None]:
    """Held by one process at a time; the kernel lets go of it when that process ends, however it ends."""
    with ExitStack() as held:
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(file_lock(folder / LOCK, wait=True))
        yield


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"the aliases of its packages cannot be written ({error.strerror})",
            where=str(folder),
            hint="Make it writable, or name another folder with --packages",
        ) from None
