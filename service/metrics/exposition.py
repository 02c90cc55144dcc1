"""The text of a scrape: the metrics of all processes that share a folder, and what is read when they are scraped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from model.core.locks import file_lock
from model.core.settings import BadSetting
from service.metrics.folder import current_folder, merge_ended, processes
from service.metrics.instruments import REGISTRY

SCRAPE_LOCK: Final = "scrape.lock"


class SharedMetrics(Collector):
    """The instruments of all processes that share a folder; without a folder, those of this process."""

    def collect(self) -> Iterable[Metric]:
        """Return the metrics, added up over the processes."""
        folder = current_folder()
        if folder is None:
            return list(REGISTRY.collect())
        with file_lock(folder / SCRAPE_LOCK, wait=True):
            merge_ended(folder)
            return list(MultiProcessCollector(None, str(folder)).collect())


class ProcessMetrics(Collector):
    """Number, memory, open files and newest start of the live processes that share a folder, by role."""

    def describe(self) -> list[GaugeMetricFamily]:
        """Return the metrics without values."""
        return [
            GaugeMetricFamily(f"echocast_{name}", text, labels=["process"])
            for name, text in (
                ("processes", "Processes of that role that are alive."),
                ("process_resident_memory_bytes", "Resident memory of all processes of that role."),
                ("process_open_fds", "Open file descriptors of all processes of that role."),
                ("process_start_time_seconds", "Start of the newest process of that role, as Unix time."),
            )
        ]

    def collect(self) -> Iterable[Metric]:
        """Return the metrics; without /proc, only the number of processes."""
        folder = current_folder()
        roles = {} if folder is None else processes(folder)
        number, memory, files, start = metrics = self.describe()
        for role in sorted(set(roles.values())):
            found = [_read_process(process_id) for process_id, its_role in roles.items() if its_role == role]
            number.add_metric([role], len(found))
            for metric, name, combine in (
                (memory, "process_resident_memory_bytes", sum),
                (files, "process_open_fds", sum),
                (start, "process_start_time_seconds", max),
            ):
                values = [process[name] for process in found if name in process]
                if values:
                    metric.add_metric([role], combine(values))
        return metrics


def exposition(accept: str, *collectors: Collector) -> tuple[bytes, str]:
    """Return the text of a scrape and its media type, which the header `Accept` of the request chooses.

    `collectors` add what the process that is scraped knows beside the instruments.
    """
    encode, media_type = choose_encoder(accept)
    return encode(_registry(collectors)), media_type


def serve_metrics(host: str, port: int, *collectors: Collector) -> None:
    """Answer scrapes of this process and its children on a port of their own, in a thread.

    Raises
    ------
    BadSetting
        The address is not available.
    """
    try:
        start_http_server(port, host, _registry(collectors))
    except OSError as error:
        raise BadSetting(
            f"cannot listen on {host} port {port} for metrics ({error.strerror})",
            where="ECHOCAST_METRICS_PORT",
            hint="Give each worker of this machine a port of its own",
        ) from None


def _registry(collectors: Iterable[Collector]) -> CollectorRegistry:
    registry = CollectorRegistry()
    for collector in (SharedMetrics(), ProcessMetrics(), *collectors):
        registry.register(collector)
    return registry


def _read_process(process_id: int) -> dict[str, float]:
    """Return the standard metrics of a process; none where it has ended meanwhile, or there is no /proc."""
    metrics = ProcessCollector(pid=lambda: process_id, registry=None).collect()
    return {sample.name: sample.value for metric in metrics for sample in metric.samples}
