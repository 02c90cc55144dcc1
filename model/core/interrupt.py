"""The exception that stops running work from outside: at a time limit, or when a worker shuts down."""

from __future__ import annotations


class Interrupted(BaseException):
    """Raised inside of running work, for instance by a signal handler, to stop it at once.

    Like KeyboardInterrupt not an Exception: code that turns every Exception of a decoding library into a damaged file
    must let it pass.
    """
