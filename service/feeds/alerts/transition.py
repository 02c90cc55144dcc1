"""How the state of an alert follows from one judgement after another."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AlertState(StrEnum):
    """The state of an alert.

    `raised`; it stays so while its rule cannot be judged. `cleared`: its rule is judged, and it is not raised.
    `unknown`: it is not raised, and its rule could not be judged.
    """

    RAISED = "raised"
    CLEARED = "cleared"
    UNKNOWN = "unknown"


class Change(StrEnum):
    """What an event says: `unknown`, the rule could not be judged for a while; `known`, it can be judged again."""

    RAISED = "raised"
    CLEARED = "cleared"
    UNKNOWN = "unknown"
    KNOWN = "known"


@dataclass(frozen=True)
class Standing:
    """A state, and how many judgements in a row have spoken against it."""

    state: AlertState
    streak: int = 0


def advance(before: Standing, holds: bool | None, *, raise_after: int, clear_after: int) -> Standing:
    """Return the standing after one more judgement.

    Parameters
    ----------
    before
        The standing before it.
    holds
        Whether the condition holds; of a raised alert that to stay raised. None: not known, which neither counts
        against a raise nor towards a clearance.
    raise_after, clear_after
        How many judgements in a row raise and clear the alert.
    """
    raised = before.state is AlertState.RAISED
    if holds is None:
        return Standing(AlertState.RAISED) if raised else Standing(AlertState.UNKNOWN, before.streak)
    if raised:
        if holds:
            return Standing(AlertState.RAISED)
        streak = before.streak + 1
        return Standing(AlertState.CLEARED) if streak >= clear_after else Standing(AlertState.RAISED, streak)
    if not holds:
        return Standing(AlertState.CLEARED)
    streak = before.streak + 1
    return Standing(AlertState.RAISED) if streak >= raise_after else Standing(AlertState.CLEARED, streak)
