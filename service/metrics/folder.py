"""The folder in which the processes of one service on one machine keep their metrics.

`prometheus_client` in its multiprocess mode maps one file for each process and type of metric into memory, and a scrape
adds them up. The folder is private to the process that a supervisor or a person starts (`serve`, `worker`, `beat`) and
to its child processes, which find it in the environment.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from service.locked_folder import locked_folder

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
PREFIX: Final = "echocast-metrics-"
ENDED: Final = "ended"
"""Stands for the process id in the name of the file of all processes that have ended."""


@contextmanager
def metrics_folder() -> Iterator[None]:
    """Give this process and its children a folder for their metrics, and delete it at the end.

    A process that finds a folder in its environment uses that one. Folders of processes that were killed are deleted.

    Raises
    ------
    RuntimeError
        `prometheus_client` is imported already, and has decided to keep the metrics in memory.
    """
    if VARIABLE in os.environ:
        yield
        return
    if "prometheus_client" in sys.modules:
        raise RuntimeError("prometheus_client was imported before the folder of the metrics was named")
    with locked_folder(PREFIX) as folder:
        os.environ[VARIABLE] = str(folder)
        try:
            yield
        finally:
            del os.environ[VARIABLE]


def current_folder() -> Path | None:
    """Return the folder of this process; None where it keeps its metrics in memory."""
    return Path(os.environ[VARIABLE]) if VARIABLE in os.environ else None


def register_process(role: str) -> None:
    """Record the role of this process (gateway, worker, worker-child, beat), so that a scrape reports its memory."""
    folder = current_folder()
    if folder is not None:
        (folder / f"{os.getpid()}.{role}").touch()


def processes(folder: Path) -> dict[int, str]:
    """Return the roles of the registered processes that are alive, by process id; forget the others."""
    found: dict[int, str] = {}
    for path in folder.glob("[0-9]*.*"):
        process_id = int(path.stem)
        if _alive(process_id):
            found[process_id] = path.suffix[1:]
        else:
            path.unlink(missing_ok=True)
    return found


def merge_ended(folder: Path) -> None:
    """Merge the counters and histograms of processes that have ended into one file of each type.

    Without this every process that ever ran would keep its files, which each scrape reads. The gauges of live
    processes end with them.
    """
    from prometheus_client.mmap_dict import MmapedDict, mmap_key
    from prometheus_client.multiprocess import MultiProcessCollector

    ended: dict[str, list[Path]] = defaultdict(list)
    for path in folder.glob("*.db"):
        kind, _, process_id = path.stem.rpartition("_")
        if process_id != ENDED and not _alive(int(process_id)):
            ended[kind].append(path)
    for kind, files in ended.items():
        if not kind.startswith("gauge_live"):
            target, part = folder / f"{kind}_{ENDED}.db", folder / f"{kind}_{ENDED}.part"
            part.unlink(missing_ok=True)
            merged = MmapedDict(str(part))
            earlier = [target] if target.exists() else []
            for metric in MultiProcessCollector.merge(map(str, [*earlier, *files]), accumulate=False):
                for name, labels, value, *_ in metric.samples:
                    merged.write_value(
                        mmap_key(metric.name, name, list(labels), list(labels.values()), metric.documentation), value, 0
                    )
            merged.close()
            part.replace(target)
        for file in files:
            file.unlink()


def _alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
