"""Change aliases: promote a model to champion, roll back, and set or remove other aliases."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from model.core.aliases import CHAMPION, Action, AliasChange, Aliases, PinnedVersion, change_alias, now_utc, user_name
from model.core.catalog import AUTO, Catalog, pinned_version
from model.core.errors import InputError
from model.core.manifest import NAME_PATTERN
from model.core.model_info import ModelInfo
from model.core.package_digest import package_digest
from model.registry.gates import refusals

if TYPE_CHECKING:
    from model.registry.evaluation import Evaluation


class NotPromoted(InputError):
    """A gate refuses the model, or the champion or the package changed during the evaluation."""

    code = "not-promoted"


def check_gates(info: ModelInfo, evaluation: Evaluation) -> None:
    """Raise NotPromoted where a gate refuses the model."""
    if refused := refusals(evaluation.gates):
        why = "".join(f"; {clause} in {archive}" for archive, clause in evaluation.seen.items())
        hint = "Train it further, or evaluate it on an archive with more rain"
        if evaluation.seen:
            hint = "Evaluate it on days that it has not seen (echocast archive split reserves some before a training)"
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
    """Make an evaluated model the champion of a folder of packages.

    Parameters
    ----------
    info
        The model.
    folder
        Folder of packages, with the aliases.
    evaluation
        Results of the gates.
    pinned
        The champion when the evaluation started.
    forced, reason
        Promote the model although gates refuse it, and why.

    Raises
    ------
    NotPromoted
        A gate refuses the model and `forced` is not set, or the champion or the package has changed since.
    BadAliases, InputError
        The aliases cannot be read or written.
    """
    if not forced:
        check_gates(info, evaluation)

    def decide(aliases: Aliases) -> AliasChange:
        now = aliases.aliases.get(CHAMPION)
        if now != pinned:
            raise NotPromoted(
                f"not promoted: the champion changed to {now.model if now else 'none'} during the evaluation",
                where=info.reference,
                hint="Promote it again, to compare it with the new champion",
            )
        if info.folder is None or package_digest(info.folder) != info.digest:
            raise NotPromoted(
                "not promoted: its package changed during the evaluation",
                where=info.reference,
                hint="Versions never change: restore the package, or give the new one another version",
            )
        change = _change(CHAMPION, "promote", now, pinned_version(info), reason)
        forced_through = forced and bool(refusals(evaluation.gates))
        results = {"gates": evaluation.gates, "protocol": evaluation.protocol, "archives": dict(evaluation.archives)}
        return change.model_copy(update={"forced": forced_through, **results})

    return change_alias(folder, decide)


def rollback(folder: Path, reason: str = "") -> AliasChange:
    """Return `champion` to the version before the last promotion; before the first promotion there is none.

    Raises
    ------
    InputError
        No model was promoted.
    """

    def decide(aliases: Aliases) -> AliasChange:
        champions = aliases.champions()
        if not champions:
            raise InputError(
                "no model was promoted to champion: there is nothing to roll back",
                where=str(folder),
                hint="Promote one with: echocast models promote",
            )
        return _change(CHAMPION, "rollback", champions[0], champions[1] if len(champions) > 1 else None, reason)

    return change_alias(folder, decide)


def set_alias(alias: str, info: ModelInfo | None, folder: Path, catalog: Catalog) -> AliasChange:
    """Set an alias to a model, or remove the alias (`info` None).

    Raises
    ------
    InputError
        The alias is `champion`, which only promote and rollback change, the name of a model, or does not exist.
    """

    def decide(aliases: Aliases) -> AliasChange:
        before = aliases.aliases.get(alias)
        if info is None and before is None:
            raise InputError("there is no such alias", where=alias, hint="List the aliases with: echocast models list")
        return _change(alias, "alias" if info else "remove", before, pinned_version(info) if info else None)

    if re.fullmatch(NAME_PATTERN, alias) is None:
        raise InputError("not a valid alias", where=alias, hint="Use lower-case letters, digits and hyphens")
    if alias == CHAMPION:
        raise InputError(f"only gates change {CHAMPION}", where=alias, hint="Use echocast models promote, or rollback")
    if info is not None and alias in (AUTO, *(known.name for known in catalog.models())):
        raise InputError("this is the name of a model", where=alias, hint="Choose another alias")
    return change_alias(folder, decide)


def _change(
    alias: str, action: Action, before: PinnedVersion | None, after: PinnedVersion | None, reason: str = ""
) -> AliasChange:
    return AliasChange(
        alias=alias, action=action, when=now_utc(), by=user_name(), before=before, after=after, reason=reason
    )
