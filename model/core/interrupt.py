"""How work is told to stop from outside: a time limit that is over, a worker that goes away."""

from __future__ import annotations


class Interrupted(BaseException):
    """Raised inside running work, for instance by a signal handler, to end it where it stands.

    Not an Exception, like KeyboardInterrupt: code that turns every Exception of a decoding library into "your
    file is damaged" must let it through.
    """
