"""Moves of aliases: promotion to champion, rollback, and other names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from model.core.aliases import (
    CHAMPION,
    Action,
    AliasChange,
    Aliases,
    PinnedVersion,
    change_alias,
    now_utc,
    read_aliases,
    user_name,
)
from model.core.catalog import AUTO, Catalog, pinned_version
from model.core.errors import InputError
from model.core.manifest import NAME_PATTERN
from model.core.model_info import ModelInfo
from model.core.package_digest import package_digest
from model.registry.gates import refusals

if TYPE_CHECKING:
    from model.registry.evaluation import Evaluation


class NotPromoted(InputError):
    code = "not-promoted"


def pinned_champion(folder: Path) -> PinnedVersion | None:
    """What `champion` is pinned to now.

    Raises
    ------
    BadAliases
        The file of aliases is damaged.
    """
    return read_aliases(folder).aliases.get(CHAMPION)


def check_gates(info: ModelInfo, evaluation: Evaluation) -> None:
    """Raise NotPromoted where a gate does not let the model through."""
    if refused := refusals(evaluation.gates):
        why = "".join(f"; {told} in {archive}" for archive, told in evaluation.seen.items())
        hint = "Train it further, or try it on an archive that tells more"
        if evaluation.seen:
            hint = "Try it on days that it has not seen (echocast archive split keeps some apart before a training)"
        raise NotPromoted(
            f"not promoted, {len(refused)} of the gates' comparisons refuse it: {'; '.join(refused)}{why}",
            where=info.reference,
            hint=f"{hint}; --force --reason TEXT promotes it anyway",
        )


def promote(
    info: ModelInfo,
    folder: Path,
    evaluation: Evaluation,
    *,
    pinned: PinnedVersion | None,
    forced: bool = False,
    reason: str = "",
) -> AliasChange:
    """Make a model that was tried the champion of a folder of packages. `over`: the champion when the trial began.

    Raises
    ------
    NotPromoted
        A gate refuses it, and it is not forced; the champion is another by now, or the package is.
    BadAliases, InputError
        The aliases cannot be read, or not written.
    """
    if not forced:
        check_gates(info, evaluation)

    def decide(aliases: Aliases) -> AliasChange:
        now = aliases.aliases.get(CHAMPION)
        if now != pinned:
            raise NotPromoted(
                f"not promoted, the champion is {now.model if now else 'none'} since its gates were tried",
                where=info.reference,
                hint="Promote it again, so that it is compared with that",
            )
        if info.folder is None or package_digest(info.folder) != info.digest:
            raise NotPromoted(
                "not promoted, its package was changed while its gates were tried",
                where=info.reference,
                hint="Versions never change: put it back as it was, or give the new one another version",
            )
        made = _change(CHAMPION, "promote", now, pinned_version(info), reason)
        forced_through = forced and bool(refusals(evaluation.gates))
        kept = {"gates": evaluation.gates, "protocol": evaluation.protocol, "archives": dict(evaluation.archives)}
        return made.model_copy(update={"forced": forced_through, **kept})

    return change_alias(folder, decide)


def rollback(folder: Path, reason: str = "") -> AliasChange:
    """Make champion what it was before the last promotion that still holds; of the first one: no champion.

    Raises
    ------
    InputError
        There is no champion.
    """

    def decide(aliases: Aliases) -> AliasChange:
        line = aliases.champions()
        if not line:
            raise InputError(
                "no model was promoted to champion, there is nothing to roll back",
                where=str(folder),
                hint="Promote one with: echocast models promote",
            )
        return _change(CHAMPION, "rollback", line[0], line[1] if len(line) > 1 else None, reason)

    return change_alias(folder, decide)


def name_alias(alias: str, info: ModelInfo | None, folder: Path, catalog: Catalog) -> AliasChange:
    """Give a model another name, or (None) take the name away.

    Raises
    ------
    InputError
        The name is `champion`'s, which only a promotion moves, or a model's; or there is no such alias.
    """

    def decide(aliases: Aliases) -> AliasChange:
        before = aliases.aliases.get(alias)
        if info is None and before is None:
            raise InputError("there is no such alias", where=alias, hint="echocast models list tells the aliases")
        return _change(alias, "alias" if info else "remove", before, pinned_version(info) if info else None)

    if re.fullmatch(NAME_PATTERN, alias) is None:
        raise InputError("not a name", where=alias, hint="Use lower-case letters, digits and hyphens")
    if alias == CHAMPION:
        raise InputError(
            f"{CHAMPION} is moved by gates only", where=alias, hint="Use echocast models promote, or rollback"
        )
    if info is not None and alias in (AUTO, *(known.name for known in catalog.models())):
        raise InputError("that is a model's name", where=alias, hint="Choose another alias")
    return change_alias(folder, decide)


def _change(
    alias: str, action: Action, before: PinnedVersion | None, after: PinnedVersion | None, reason: str = ""
) -> AliasChange:
    return AliasChange(
        alias=alias, action=action, when=now_utc(), by=user_name(), before=before, after=after, reason=reason
    )
