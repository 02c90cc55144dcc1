"""Change aliases: promote a model to champion, roll back, and set or remove other aliases."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from model.core.aliases import (
    CHAMPION,
    Action,
    AliasChange,
    Aliases,
    Gate,
    PinnedVersion,
    change_alias,
    now_utc,
    user_name,
)
from model.core.catalog import AUTO, Catalog, pinned_version
from model.core.errors import InputError
from model.core.manifest import NAME_PATTERN
from model.core.model_info import ModelInfo
from model.core.package_digest import package_digest

FEWEST_EVENTS: Final = 1000
"""Pixels, over all leads, that rain at a threshold must cover for a gate to be conclusive."""


class NotPromoted(InputError):
    """A gate refuses the model, or the champion or the package changed during the evaluation."""

    code = "not-promoted"


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Results of the gates, with the champion, the protocol and the archives (path -> digest) of the comparison.

    `damaged`: reasons for start times that were left out. `seen`: for archives with days that the candidate was
    trained on or chosen by, a clause about these days.
    """

    gates: tuple[Gate, ...]
    champion: str
    protocol: str
    archives: Mapping[str, str]
    damaged: tuple[str, ...] = ()
    seen: Mapping[str, str] = field(default_factory=dict)


def check_promotable(info: ModelInfo) -> None:
    """Raise where a model cannot be the champion, whatever its scores are.

    Raises
    ------
    InputError
        The model is a baseline, or not a model of rain.
    """
    if info.folder is None:
        raise InputError(
            "a baseline needs no promotion: it is always available", where=info.reference, hint="Promote a package"
        )
    if info.data != "rain":
        raise InputError(
            f"it was trained on {info.data} that are not rain, and makes no nowcast",
            where=info.reference,
            hint="Promote a model of rain",
        )


def refusals(gates: Sequence[Gate]) -> list[str]:
    """Return the comparisons that refuse a model: one that fails on any archive, or passes on none."""
    several = len({gate.archive for gate in gates if gate.archive}) > 1
    by_what: dict[str, list[Gate]] = {}
    for gate in gates:
        by_what.setdefault(gate.what, []).append(gate)
    refused = []
    for what, found in by_what.items():
        failed = [gate for gate in found if gate.passed is False]
        if failed or not any(gate.passed for gate in found):
            first = (failed or found)[0]
            where = f" on {first.archive}" if several and first.archive else ""
            refused.append(f"{what}{where}{'' if failed else ' is inconclusive'}")
    return refused


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
            hint=f"{hint}; force with a reason (--force --reason TEXT) promotes it anyway",
        )


def promote(
    info: ModelInfo,
    folder: Path,
    evaluation: Evaluation,
    *,
    pinned: PinnedVersion | None,
    forced: bool = False,
    reason: str = "",
    by: str | None = None,
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
    by
        Who promotes it; None: the user of this process.

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
        change = _change(CHAMPION, "promote", now, pinned_version(info), reason, by)
        forced_through = forced and bool(refusals(evaluation.gates))
        results = {"gates": evaluation.gates, "protocol": evaluation.protocol, "archives": dict(evaluation.archives)}
        return change.model_copy(update={"forced": forced_through, **results})

    return change_alias(folder, decide)


def rollback(
    folder: Path,
    reason: str = "",
    *,
    champion: str | None = None,
    version: str | None = None,
    by: str | None = None,
) -> AliasChange:
    """Return `champion` to the version before the last promotion; before the first promotion there is none.

    Parameters
    ----------
    folder
        Folder of packages, with the aliases.
    reason
        Why, for the history.
    champion, version
        Name and version of the model that is to be rolled back, in case that another one is the champion by now; None:
        any. With the version, a request that is repeated rolls back once.
    by
        Who does it; None: the user of this process.

    Raises
    ------
    NotPromoted
        Another model or version is the champion.
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
        name, _, now = champions[0].model.partition("@")
        if champion not in (None, name) or version not in (None, now):
            raise NotPromoted(
                f"not rolled back: the champion is {champions[0].model}",
                where="@".join(filter(None, (champion or CHAMPION, version))),
                hint="Look at the champion again, and roll that one back",
            )
        return _change(CHAMPION, "rollback", champions[0], champions[1] if len(champions) > 1 else None, reason, by)

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
    alias: str,
    action: Action,
    before: PinnedVersion | None,
    after: PinnedVersion | None,
    reason: str = "",
    by: str | None = None,
) -> AliasChange:
    who = user_name() if by is None else by
    return AliasChange(alias=alias, action=action, when=now_utc(), by=who, before=before, after=after, reason=reason)
