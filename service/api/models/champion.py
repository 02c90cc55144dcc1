"""The champion over HTTP: promoted by the gates of live skill, and rolled back, as `echocast models` does."""

from __future__ import annotations

from typing import Final, NamedTuple

from model.core.aliases import CHAMPION, AliasChange, BadAliases, PinnedVersion, check_writable, read_aliases
from model.core.catalog import AUTO, DEFAULT_MODEL, pinned_version
from model.core.live_gates import compared_models, live_evaluation
from model.core.model_info import ModelInfo
from model.core.promotion import Evaluation, NotPromoted, check_gates, check_promotable, promote, rollback
from service.api.access.client import Client
from service.api.audit import record_change
from service.api.context import GatewayContext
from service.api.errors import InvalidParameter
from service.api.feeds.served import find_feed
from service.api.feeds.skill_answer import feed_skill
from service.api.models.champion_types import (
    Champion,
    ChampionChange,
    GateResult,
    Promotion,
    PromotionRequest,
    RollbackRequest,
)
from service.api.models.listing import find_models
from service.api.models.worker_load import check_worker_loads

NEWEST: Final = 50
"""How many changes of the champion are told."""


class _Compared(NamedTuple):
    """The candidate, the model that `auto` resolves to, and the champion by the aliases."""

    candidate: ModelInfo
    champion: ModelInfo
    pinned: PinnedVersion | None


def champion_now(context: GatewayContext) -> Champion:
    """Return the champion, the aliases and the newest changes. It blocks."""
    models, note = context.catalog.resolve(AUTO)
    try:
        aliases = context.catalog.aliases()
    except BadAliases:  # the note tells it
        return Champion(champion=None, runs=models[0].reference, note=note, aliases={}, before=None, history=[])
    champions = aliases.champions()
    before = champions[1].model if len(champions) > 1 else f"none: auto is the default model {DEFAULT_MODEL}"
    changes = [change for change in aliases.history if change.alias == CHAMPION][: -NEWEST - 1 : -1]
    return Champion(
        champion=champions[0].model if champions else None,
        runs=models[0].reference,
        note=note,
        aliases={name: pin.model for name, pin in aliases.aliases.items() if name != CHAMPION},
        before=before if champions else None,
        history=[ChampionChange.of(change) for change in changes],
    )


async def promotion(context: GatewayContext, client: Client, name: str, request: PromotionRequest) -> Promotion:
    """Evaluate the gates by live skill, and promote the model where they let it pass, unless that is not wanted.

    Raises
    ------
    NotPromoted
        A gate refuses it, no worker can load it, or the champion changed meanwhile.
    NoSuchModel, NoSuchFeed, InvalidParameter, InputError
        There is no such model or feed, or no live skill of the model; it is no model of rain.
    """
    if request.force and not request.reason.strip():
        raise InvalidParameter("force needs a reason for the history", where="reason", hint="Give the reason")
    feed = find_feed(await context.in_thread(context.feeds), request.feed)
    compared = await context.in_thread(_compared, context, f"{name}@{request.version}", request.dry_run)
    candidate, champion, pinned = compared
    if pinned == pinned_version(candidate):
        refusal = f"{candidate.reference} is already the champion"
        evaluation = Evaluation(gates=(), champion=champion.reference, protocol="", archives={})
        return _told(candidate, evaluation, refusal=refusal)
    await check_worker_loads(context, candidate)
    skill = await context.in_thread(
        feed_skill,
        context.skill_ledger,
        feed,
        None,
        hours=request.window_hours,
        origin="reference",
        models=tuple(compared_models(candidate, champion)),
    )
    evaluation = live_evaluation(champion, feed.name, skill.model_dump(mode="json"))
    if request.dry_run:
        return _told(candidate, evaluation, refusal=_refusal(candidate, evaluation))
    change = await context.in_thread(
        promote,
        candidate,
        context.settings.packages_folder,
        evaluation,
        pinned=pinned,
        forced=request.force,
        reason=request.reason,
        by=client.id,
    )
    record_change(client, f"promoted {_summary(change)}")
    return _told(candidate, evaluation, refusal=_refusal(candidate, evaluation), change=change)


async def rolled_back(context: GatewayContext, client: Client, name: str, request: RollbackRequest) -> ChampionChange:
    """Return to the champion before the last promotion, where that model is the champion.

    Raises
    ------
    NotPromoted
        Another one is.
    InputError
        There is no champion.
    """
    folder, champion = context.settings.packages_folder, None if name == CHAMPION else name
    change = await context.in_thread(
        rollback, folder, request.reason, champion=champion, version=request.version, by=client.id
    )
    record_change(client, f"rolled back {_summary(change)}")
    return ChampionChange.of(change)


def _compared(context: GatewayContext, reference: str, dry_run: bool) -> _Compared:
    """Return the models that are compared; raise now what would make the promotion fail in the end."""
    folder = context.settings.packages_folder
    name, _, version = reference.partition("@")
    find_models(context, name, version)
    if not dry_run:
        check_writable(folder)
    candidate = context.catalog.find(reference)
    check_promotable(candidate)
    return _Compared(candidate, context.catalog.find(AUTO), read_aliases(folder).aliases.get(CHAMPION))


def _refusal(candidate: ModelInfo, evaluation: Evaluation) -> str:
    try:
        check_gates(candidate, evaluation)
    except NotPromoted as error:
        return error.what
    return ""


def _summary(change: AliasChange) -> str:
    before, after = (None if pin is None else pin.model for pin in (change.before, change.after))
    forced = f", against the gates: {change.reason}" if change.forced else ""
    return f"the champion from {before or 'none'} to {after or 'none'}{forced}"


def _told(
    candidate: ModelInfo, evaluation: Evaluation, *, refusal: str, change: AliasChange | None = None
) -> Promotion:
    return Promotion(
        model=candidate.reference,
        compared_with=evaluation.champion,
        protocol=evaluation.protocol,
        gates=[GateResult.of(gate) for gate in evaluation.gates],
        refusal=refusal,
        change=None if change is None else ChampionChange.of(change),
    )
