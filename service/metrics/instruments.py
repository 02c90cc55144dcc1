"""Every counter, gauge and histogram that processes of the service write; `docs/monitoring.md` lists them.

Labels have few values, which the code or the operator's files know in advance, as the names of feeds: no ids,
addresses, paths, names of files or of clients. A gauge
has the mode `livesum`, `livemin` or `livemax` (of the processes that are alive) or `max` (of all): other modes do not
survive the merging of ended processes in `service.metrics.folder`.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY: Final = CollectorRegistry(auto_describe=True)
"""The registry of these metrics, and of no others: nothing that a library registers is exposed."""

HTTP_REQUESTS: Final = Counter(
    "echocast_http_requests_total",
    "HTTP requests by method, template of the route, and status of the response.",
    ["method", "route", "status"],
    registry=REGISTRY,
)
HTTP_REQUEST_DURATION: Final = Histogram(
    "echocast_http_request_duration_seconds",
    "Time from the request to the end of its response.",
    ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    registry=REGISTRY,
)
HTTP_REQUESTS_IN_PROGRESS: Final = Gauge(
    "echocast_http_requests_in_progress",
    "HTTP requests whose response is not complete.",
    multiprocess_mode="livesum",
    registry=REGISTRY,
)

JOBS_ACCEPTED: Final = Counter(
    "echocast_jobs_accepted_total", "Jobs recorded in the ledger, by kind.", ["kind"], registry=REGISTRY
)
JOBS_FINISHED: Final = Counter(
    "echocast_jobs_finished_total",
    "Jobs that ended, by kind, final status, and the type of the problem of a failed one (empty for others).",
    ["kind", "status", "reason"],
    registry=REGISTRY,
)
JOBS_LOST: Final = Counter(
    "echocast_jobs_lost_total", "Attempts at jobs that ended with the death of their worker.", registry=REGISTRY
)
WEBHOOK_CALLS: Final = Counter(
    "echocast_webhook_calls_total",
    "Calls of webhooks by outcome: delivered, failed (and tried again), given-up.",
    ["outcome"],
    registry=REGISTRY,
)
ALERT_EVENTS: Final = Counter(
    "echocast_alert_events_total",
    "Events of alerts by change: raised, cleared, unknown, known.",
    ["change"],
    registry=REGISTRY,
)
ALERT_MESSAGES: Final = Counter(
    "echocast_alert_messages_total",
    "Tries to send messages of alerts by channel (webhook, apprise) and outcome: delivered, failed (and tried again), "
    "given-up.",
    ["channel", "outcome"],
    registry=REGISTRY,
)
PUSH_MESSAGES: Final = Counter(
    "echocast_push_messages_total",
    "Tries to send messages to the push services of browsers by outcome: delivered, failed (and tried again), "
    "given-up, gone (the browser is no longer subscribed).",
    ["outcome"],
    registry=REGISTRY,
)
JOB_PHASE_DURATION: Final = Histogram(
    "echocast_job_phase_duration_seconds",
    "Time that a finished job spent in each phase: queue, read, compute, write.",
    ["phase"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800),
    registry=REGISTRY,
)
MODEL_NOWCASTS: Final = Counter(
    "echocast_model_nowcasts_total",
    "Successful nowcasts by the model that ran, its version, and its variant with the device.",
    ["model", "version", "variant"],
    registry=REGISTRY,
)

FEED_FRAMES_SCORED: Final = Counter(
    "echocast_feed_frames_scored_total",
    "Frames of feeds by which the forecasts that were valid then were scored; again after a change.",
    registry=REGISTRY,
)
FEED_FILES: Final = Counter(
    "echocast_feed_files_total",
    "Files of a feed by what became of them, such as accepted or unreadable.",
    ["feed", "state"],
    registry=REGISTRY,
)
FEED_LAG: Final = Histogram(
    "echocast_feed_lag_seconds",
    "Time from the arrival of a feed's frame to the publication of its nowcast.",
    ["feed"],
    buckets=(1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600),
    registry=REGISTRY,
)

SANDBOX_KILLS: Final = Counter(
    "echocast_sandbox_kills_total",
    "Reads of files that were stopped in their sandbox, by reason: memory, time or crash.",
    ["reason"],
    registry=REGISTRY,
)
VIEW_CACHE_REQUESTS: Final = Counter(
    "echocast_view_cache_requests_total",
    "Look-ups in the cache of views of results, by outcome: hit or miss.",
    ["outcome"],
    registry=REGISTRY,
)

WORKER_HEARTBEAT_TIME: Final = Gauge(
    "echocast_worker_heartbeat_timestamp_seconds",
    "When a process that runs jobs last sent a heartbeat, as Unix time; the oldest of several processes.",
    ["process"],  # a gauge without labels is 0 in every process that imports it, and the minimum would be 0
    multiprocess_mode="livemin",
    registry=REGISTRY,
)
SCHEDULE_RUN_TIME: Final = Gauge(
    "echocast_schedule_last_run_timestamp_seconds",
    "When a task of the schedule (reconcile, scan-feeds, check-alerts) last ended here without an error, as Unix time.",
    ["task"],
    multiprocess_mode="max",
    registry=REGISTRY,
)
DEVICE_MEMORY_USED: Final = Gauge(
    "echocast_device_memory_used_bytes",
    "Memory in use on a GPU, by all of its processes.",
    ["device"],
    multiprocess_mode="livemax",
    registry=REGISTRY,
)
DEVICE_MEMORY_SIZE: Final = Gauge(
    "echocast_device_memory_size_bytes",
    "Memory of a GPU.",
    ["device"],
    multiprocess_mode="livemax",
    registry=REGISTRY,
)

# Prometheus computes a rate from the second sample on: a series that begins with the first failure hides it.
for _kind in ("upload", "feed", "challenger"):
    for _status, _reasons in (
        ("successful", ("",)),
        ("dismissed", ("",)),
        ("failed", ("internal", "worker-lost", "device-lost", "time-limit", "out-of-memory")),
    ):
        for _reason in _reasons:
            JOBS_FINISHED.labels(_kind, _status, _reason)
