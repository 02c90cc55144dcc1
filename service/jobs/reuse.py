"""Identical requests: the stored result of a nowcast also answers the next request that would have the same result."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from typing import Final

from model.core.caching import file_stamp
from model.core.catalog import Catalog
from service.jobs.job import Job, JobInput, JobStatus
from service.settings import Settings
from service.store import input_key, result_key

SETTINGS: Final = ("max_dbz", "variant", "memory_mb", "gpu_memory_mb", "calibration", "fields")
"""Settings that change results, or may do so. A device only rounds differently, and often workers alone have it set."""


def models_digest(catalog: Catalog, reference: str, settings: Settings) -> str:
    """Return the SHA-256 (hex) of what a result depends on beside its request.

    These are the packages to which the reference resolves now, in their order, the version of the software, and
    settings. So a result is not used again once an alias has moved, or a package has changed or was retired.

    Raises
    ------
    UnknownModel, BadPackage, BadAliases
        The reference does not resolve.
    """
    models = [(info.reference, info.digest) for info in catalog.resolve(reference).models]
    files = [path for path in (settings.calibration, settings.fields) if path is not None]
    files += sorted(settings.fields.glob("*.nc")) if settings.fields is not None else []
    parts = [
        models,
        version("echocast"),
        {name: str(getattr(settings, name)) for name in SETTINGS},
        [(str(path), file_stamp(path)) for path in files],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def answered_job(earlier: Job, job_id: str, inputs: list[JobInput], *, result_bytes: int) -> Job:
    """Return a successful job, not recorded yet, with the result of an earlier one and a note that says so.

    `result_bytes`: what the copies of the result and of its input take in the store. In a local folder they are hard
    links, which take room once the earlier job is deleted: each job counts its own.
    """
    reason = f"the result of the same request of {earlier.created:%Y-%m-%d %H:%M:%S} UTC, which was stored"
    job = Job(
        id=job_id,
        client=earlier.client,
        status=JobStatus.SUCCESSFUL,
        model=earlier.model,
        model_used=earlier.model_used,
        note="; ".join(filter(None, [earlier.note, reason])),
        steps=earlier.steps,
        variable=earlier.variable,
        zr=earlier.zr,
        inputs=inputs,
        forecast_output=earlier.forecast_output,
        progress_done=earlier.steps,
        result_key=result_key(job_id),
        input_key=input_key(job_id),
        request_digest=earlier.request_digest,
        result_bytes=result_bytes,
    )
    job.started = job.finished = job.created
    return job
