"""The delivery of a nowcast's webhook, as its client sees it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from service.api.context import GatewayContext
from service.api.errors import NoWebhook
from service.jobs.job import Job


class WebhookDelivery(BaseModel):
    """Whether the receiver has accepted the call of `callback_url`."""

    state: Literal["pending", "delivered", "failed"] = Field(
        description="pending: the nowcast has not ended, or the receiver has not accepted the call; failed: given up."
    )
    attempts: int = Field(description="Tries so far, with one that is under way.")
    last_status: int | None = Field(
        None, description="HTTP status of the last response; absent: no try yet, or the receiver did not respond."
    )
    next_try: datetime | None = Field(None, description="When the call is repeated, unless the try under way succeeds.")
    delivered: datetime | None = Field(None, description="When the receiver accepted the call.")
    given_up: datetime | None = Field(None, description="When the last try had failed.")


def webhook_delivery(context: GatewayContext, job: Job) -> WebhookDelivery:
    """Return the delivery of a job's webhook. Blocks.

    Raises
    ------
    NoWebhook
        The job has none.
    """
    if job.callback_url is None:
        raise NoWebhook(
            "the nowcast was requested without callback_url", where="id", hint="Follow the status, or its events"
        )
    webhook = context.outbox.get(job.id)
    if webhook is None:
        return WebhookDelivery(
            state="pending", attempts=0, last_status=None, next_try=None, delivered=None, given_up=None
        )
    return WebhookDelivery(
        state="delivered" if webhook.delivered else "failed" if webhook.given_up else "pending",
        attempts=webhook.attempts,
        last_status=webhook.response_status,
        next_try=webhook.due,
        delivered=webhook.delivered,
        given_up=webhook.given_up,
    )
