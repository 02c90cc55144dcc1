"""Run a command that dies with its parent: `python parent_death.py PARENT NICENESS COMMAND...`. Starts in milliseconds.

On Linux the kernel sends SIGKILL to the command when the parent ends, in whatever way (PR_SET_PDEATHSIG). On other
systems only the parent's own clean-up ends the command.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Bind this process to the life of its parent, lower its priority, then replace it by the command."""
    parent, niceness, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent process is gone")
    _lower_priority(niceness)
    os.execv(command[0], command)  # noqa: S606 - the parent gives the command


def _lower_priority(niceness: int) -> None:
    os.nice(niceness)
    # Where Linux schedules each session as one process, as on most desktops, nice values count inside of it alone
    # (https://man7.org/linux/man-pages/man7/sched.7.html, "The autogroup feature"). This process began a session.
    try:
        with open("/proc/self/autogroup", "w") as autogroup:  # noqa: PTH123 - pathlib takes as long to import as Python
            autogroup.write(str(niceness))
    except OSError:
        pass


if __name__ == "__main__":
    main()
