"""Limits of the numbers in a configuration."""

from __future__ import annotations

import math


def check_limits(
    part: object, *names: str, least: float = -math.inf, above: float = -math.inf, most: float = math.inf
) -> None:
    """Whether the numbers `names` of `part`, or each in a tuple of them, lie within limits.

    Raises
    ------
    ValueError
        One does not, or is not finite; names it.
    """
    told = [
        f"{words} {limit:g}"
        for words, limit in (("at least", least), ("above", above), ("at most", most))
        if math.isfinite(limit)
    ]
    for name in names:
        value = getattr(part, name)
        for number in value if isinstance(value, tuple) else (value,):
            if not (least <= number <= most and number > above and math.isfinite(number)):
                raise ValueError(f"{name} must be {' and '.join(told) or 'finite'}, not {number:g}")
