"""Every metric that exists, for the docs, the dashboard and the alert rules to be held against."""

from __future__ import annotations

from service.api.metrics.collector import StateMetrics
from service.metrics.disks import DiskMetrics
from service.metrics.exposition import ProcessMetrics
from service.metrics.instruments import REGISTRY


def metric_labels() -> dict[str, set[str]]:
    """Name of each metric as it is queried (of a histogram: without `_bucket`, `_sum`, `_count`) -> its labels."""
    instruments = {
        metric._name + ("_total" if metric._type == "counter" else ""): set(metric._labelnames)
        for metric in REGISTRY._collector_to_names
    }
    read = [*ProcessMetrics().describe(), *StateMetrics(None, None, None).describe(), *DiskMetrics({}).describe()]
    return instruments | {family.name: set(family._labelnames) for family in read}
