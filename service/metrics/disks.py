"""The disks of the machine that is scraped."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class DiskMetrics(Collector):
    """Free space and size of the file systems of folders, by the name of the folder; an absent folder has none."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = folders

    def describe(self) -> list[GaugeMetricFamily]:
        """Return the metrics without values."""
        return [
            GaugeMetricFamily(
                "echocast_disk_free_bytes", "Free bytes of the file system of a folder.", labels=["folder"]
            ),
            GaugeMetricFamily("echocast_disk_size_bytes", "Size of the file system of a folder.", labels=["folder"]),
        ]

    def collect(self) -> Iterable[Metric]:
        """Ask the file systems."""
        free, size = metrics = self.describe()
        for name, folder in self._folders.items():
            try:
                usage = shutil.disk_usage(folder)
            except OSError:
                continue
            free.add_metric([name], usage.free)
            size.add_metric([name], usage.total)
        return metrics
