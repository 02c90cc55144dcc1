"""The log of every process: one record per line on stderr, in UTC, as text or JSON, with the ids of what is done."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

from service.settings import Settings

PASSWORD_IN_URL: Final = re.compile(r"(?<=://)([^\s/@:]*):[^\s/@]+@")
CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(32), 127) if chr(code) != "\t"}
"""Characters that would begin a new line, which a name of an upload must not, or that steer a terminal."""

_ids: ContextVar[Mapping[str, str]] = ContextVar("ids", default={})  # noqa: B039 - never changed in place


@contextmanager
def log_context(**ids: str | None) -> Iterator[None]:
    """Add ids (`request_id`, `job_id`) to every record of the block; None adds none."""
    token = _ids.set({**_ids.get(), **{name: value for name, value in ids.items() if value is not None}})
    try:
        yield
    finally:
        _ids.reset(token)


def current_ids() -> Mapping[str, str]:
    """Return the ids of the enclosing blocks."""
    return _ids.get()


def log_to_stderr(settings: Settings) -> None:
    """Set up the log of the process, without the start-up messages of libraries."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    logging.basicConfig(level=settings.log_level, handlers=[handler])
    for name in ("alembic", "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _masked(text: str) -> str:
    return PASSWORD_IN_URL.sub(r"\1:***@", text)


class TextFormatter(logging.Formatter):
    """Lines for people; ids that the message does not name are at its end. Lines of a traceback are indented."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(text)s", "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by the traceback of an exception."""
        message = _masked(record.getMessage()).translate(CONTROL)
        named = [f"{name}={value}" for name, value in _ids.get().items() if value not in message]
        record.text = f"{message} [{' '.join(named)}]" if named else message
        return super().format(record)

    def formatException(self, ei: Any) -> str:  # noqa: ANN401 - the standard library's name and type
        """Return a traceback without passwords, none of whose lines looks like a record."""
        lines = _masked(super().formatException(ei)).splitlines()
        return "\n".join(f"  {line.translate(CONTROL)}" for line in lines)


class JsonFormatter(logging.Formatter):
    """JSON objects for programs: time, level, logger, message, ids, the fields of the record, and a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object, in one line."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _masked(record.getMessage()),
            "process": record.process,
            **_ids.get(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["exception"] = _masked(self.formatException(record.exc_info))
        return json.dumps(entry, ensure_ascii=False, default=str)
