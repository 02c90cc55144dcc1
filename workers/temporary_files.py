"""Where a process of the worker keeps its temporary files: uploads, results, and what reads and forecasts write."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from service.locked_folder import own_temporary_folder

CHILD: Final = "echocast-worker-"
CONSUMER: Final = "echocast-consumer-"
"""Prefixes of the folders: of a process that runs jobs, and of the one that consumes the queue."""

_folder = ExitStack()


def use_own_folder(prefix: str = CHILD) -> None:
    """Make all temporary files of this process in a folder of its own, and delete those that killed processes left."""
    _folder.enter_context(own_temporary_folder(prefix))


def delete_own_folder() -> None:
    """Delete it with all that it holds, before the process ends."""
    _folder.close()
