"""The log of every process: one line per record, on stderr, in UTC."""

from __future__ import annotations

import logging
import time


def log_to_stderr(level: str) -> None:
    """Set up the log of the process, without the start-up messages of libraries."""
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler])
    for name in ("alembic", "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)
