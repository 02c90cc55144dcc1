"""Loading a model for a gateway that asks whether workers can."""

from __future__ import annotations

import json
import logging
from typing import Final

from model.core.errors import BadPackage, DeviceLost, InputError
from service.jobs.job import Problem, problem_of
from service.jobs.queue import redis_client
from workers.context import WorkerContext

KEPT_SECONDS: Final = 60
"""How long the answer is kept for a gateway that may have stopped waiting."""

INTERNAL: Final = Problem(
    code="internal",
    what="the worker failed while it loaded it",
    where="worker",
    hint="See the worker's log, under the name of the model",
)

log = logging.getLogger(__name__)


def load_model(reference: str, digest: str, answer_key: str, context: WorkerContext) -> None:
    """Load a version, as a nowcast would, and put why it cannot be loaded (null: it can) into a list in Redis.

    Raises
    ------
    DeviceLost
        The device does not respond; that is answered, too.
    """
    problem: Problem | None = INTERNAL
    try:
        problem = _problem(reference, digest, context)
    except DeviceLost:
        raise
    except Exception:
        log.exception("model %s", reference)
    finally:
        with redis_client(context.settings) as redis:
            redis.rpush(answer_key, json.dumps(problem))
            redis.expire(answer_key, KEPT_SECONDS)


def _problem(reference: str, digest: str, context: WorkerContext) -> Problem | None:
    try:
        info = context.catalog.find(reference)
        if info.digest != digest:
            raise BadPackage(
                "the package of this name and version is another one on the worker's machine",
                where=reference,
                hint="Let gateways and workers share the folder of packages, or deploy it to all of them",
            )
        context.models.get(info)
    except InputError as error:
        return problem_of(error)
    except OSError as error:
        log.exception("model %s", reference)
        return problem_of(BadPackage(f"it cannot be read ({error.strerror})", where=reference, hint="Restore it"))
    return None
