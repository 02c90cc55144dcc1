"""Run a command that dies with its parent: `python parent_death.py PARENT COMMAND...`. Starts in milliseconds.

On Linux the kernel sends SIGKILL to the command when the parent ends, in whatever way (PR_SET_PDEATHSIG). On other
systems only the parent's own clean-up ends the command.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Bind this process to the life of its parent, then replace it by the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent process is gone")
    os.execv(command[0], command)  # noqa: S606 - the parent gives the command


if __name__ == "__main__":
    main()
