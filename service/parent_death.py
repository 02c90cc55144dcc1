"""Runs a command that dies with its parent: `python parent_death.py PARENT COMMAND...`. Starts in milliseconds.

On Linux the kernel sends SIGKILL to the command when the parent ends, however it ends (PR_SET_PDEATHSIG). Elsewhere
the parent's own clean-up has to do.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, then become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("its parent is gone")
    os.execv(command[0], command)  # noqa: S606 - the parent gives the command


if __name__ == "__main__":
    main()
