"""Container health check: `healthcheck.py worker` or `healthcheck.py beat` exits with 0 if the container is healthy.

Each is healthy while Redis has its heartbeat, which expires.
"""

from __future__ import annotations

import socket
import sys

from service.jobs.heartbeat import live_beats, live_workers
from service.settings import load_settings


def main() -> int:
    """Return the exit code. An exception, raised where Redis does not respond, is unhealthy too."""
    alive = (live_beats if sys.argv[1:] == ["beat"] else live_workers)(load_settings())
    here = socket.gethostname() + ":"
    return 0 if any(name.startswith(here) for name in alive) else 1


if __name__ == "__main__":
    sys.exit(main())
