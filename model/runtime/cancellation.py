"""Cancelling a forecast that is being computed."""

from __future__ import annotations


class CancellationToken:
    """A flag that the caller of a forecast sets, and that every stage of the runtime reads between two steps.

    In the service, `service.jobs.ledger` marks a job as dismissed, the lease of the worker (`workers.lease`) notices it
    at the next lead step, and `workers.batch` sets the flag.
    """

    def __init__(self) -> None:
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Whether the forecast was cancelled."""
        return self._cancelled

    def cancel(self) -> None:
        """Cancel the forecast: no further event is reported, and its computation ends with the current step."""
        self._cancelled = True
