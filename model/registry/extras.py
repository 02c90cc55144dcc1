"""What needs the extra `train`, and says so where it is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from model.core.errors import MissingDependency


@contextmanager
def train_extra(command: str, without: str = "") -> Iterator[None]:
    """Within, what a command imports may be missing; `without`: what it cannot do then.

    Raises
    ------
    MissingDependency
        A package of the extra `train` is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("model", ""):
            raise
        what = f"the package {missing} is not installed"
        raise MissingDependency(
            f"{without}, {what}" if without else what,
            where=command,
            hint="Install it with: pip install 'echocast[train]'",
        ) from None
