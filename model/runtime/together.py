"""STAND-IN of the owner's module, to be replaced by theirs when merged."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version as distribution_version
from typing import NamedTuple

import numpy as np

from model.core.forecast import ForecastHeader
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.runtime.predictor import PROVENANCE, Predictor, _frames, fitting_frames


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    sequence: FrameSequence
    steps: int
    note: str = ""


class Answer(NamedTuple):
    request: int
    step: int
    frame: FloatArray | None
    error: Exception | None


class Together:
    def __init__(self, requests: Sequence[Request], predictor: Predictor) -> None:
        self.requests = requests
        self.predictor = predictor
        self.dropped: set[int] = set()

    @staticmethod
    def batch_of(predictor: Predictor, sequence: FrameSequence) -> Hashable:
        return sequence.grid.shape

    def header(self, index: int) -> ForecastHeader:
        request, info = self.requests[index], self.predictor.info
        newest = fitting_frames(request.sequence, info)
        attributes: dict[str, str] = {
            "source": f"Echocast {distribution_version('echocast')}, model {info.reference}",
            "echocast_version": distribution_version("echocast"),
            "model": info.name,
            "model_version": info.version,
            "model_digest": info.digest,
            "model_variant": self.predictor.variant,
            "input_digest": newest.digest(),
            **{f"input_{k}": request.sequence.attributes[k] for k in PROVENANCE if k in request.sequence.attributes},
        }
        if request.note:
            attributes["comment"] = request.note
        return ForecastHeader(
            reference_time=newest.reference_time,
            lead_minutes=newest.time_step_minutes() * np.arange(1, request.steps + 1, dtype=np.float64),
            grid=request.sequence.grid,
            attributes=attributes,
        )

    def drop(self, index: int) -> None:
        self.dropped.add(index)

    def __iter__(self) -> Iterator[Answer]:
        running: dict[int, Iterator[FloatArray]] = {}
        for index, request in enumerate(self.requests):
            try:
                self.predictor.info.check_steps(request.steps)
                newest = fitting_frames(request.sequence, self.predictor.info)
                self.predictor.info.check_steps(request.steps, newest.time_step_minutes())
                running[index] = _frames(newest, self.predictor, request.steps)
            except Exception as error:
                yield Answer(index, 1, None, error)
        step = 0
        while running:
            step += 1
            for index in list(running):
                if index in self.dropped:
                    del running[index]
                    continue
                try:
                    yield Answer(index, step, next(running[index]), None)
                except StopIteration:
                    del running[index]
                except Exception as error:
                    del running[index]
                    yield Answer(index, step, None, error)
