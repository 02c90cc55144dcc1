"""Whether this container does its work: `healthcheck.py worker` or `healthcheck.py beat`; 0 is healthy.

A worker is healthy while Redis holds its heartbeat, which expires. Beat is one process and its death ends the
container, so all that is left to ask is whether it can reach the queue.
"""

from __future__ import annotations

import socket
import sys

from service.jobs.heartbeat import live_workers
from service.settings import load_settings


def main() -> int:
    """Ask Redis which workers live; raises, which is unhealthy too, where Redis does not answer."""
    alive = live_workers(load_settings())
    if sys.argv[1:] == ["beat"]:
        return 0
    here = socket.gethostname() + ":"
    return 0 if any(name.startswith(here) for name in alive) else 1


if __name__ == "__main__":
    sys.exit(main())
