"""Callbacks through which a training run reports to its caller."""

from __future__ import annotations

from collections.abc import Callable

ProgressCallback = Callable[[int, dict[str, float]], None]
"""Receives the iteration, and either its figures, `progress` included, or the scores of a validation."""

Notify = Callable[[str], None]
"""Receives a sentence for the user."""
