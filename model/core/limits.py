"""Limits of the numbers in a configuration."""

from __future__ import annotations

import math


def check_limits(
    config: object, *names: str, ge: float = -math.inf, gt: float = -math.inf, le: float = math.inf
) -> None:
    """Check that fields of a configuration lie within limits; the limits are named as in pydantic's `Field`.

    Parameters
    ----------
    config
        The configuration, for instance a dataclass.
    names
        Fields of `config` that hold a number or a tuple of numbers.
    ge, gt, le
        Limits: greater than or equal, greater than, less than or equal.

    Raises
    ------
    ValueError
        A number lies outside the limits or is not finite; the message names the field.
    """
    limits = (("at least", ge), ("above", gt), ("at most", le))
    allowed = " and ".join(f"{words} {limit:g}" for words, limit in limits if math.isfinite(limit)) or "finite"
    for name in names:
        value = getattr(config, name)
        for number in value if isinstance(value, tuple) else (value,):
            if not (ge <= number <= le and number > gt and math.isfinite(number)):
                raise ValueError(f"{name} must be {allowed}, not {number:g}")
