"""Where a process of the worker keeps its temporary files: uploads, results, and what reads and forecasts write."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from typing import Final

from service.locked_folder import locked_folder

PREFIX: Final = "echocast-worker-"

_folder = ExitStack()


def use_own_folder() -> None:
    """Make all temporary files of this process in a folder of its own, and delete those that killed processes left."""
    tempfile.tempdir = str(_folder.enter_context(locked_folder(PREFIX)))


def delete_own_folder() -> None:
    """Delete it with all that it holds, before the process ends."""
    tempfile.tempdir = None
    _folder.close()
