"""Several nowcasts at once, each with its own frames, its own end and its own errors."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version as distribution_version
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np

from model.core.errors import DeviceLost, InputError
from model.core.forecast import Forecast, ForecastHeader
from model.core.sequence import FrameSequence
from model.core.units import DRY_RAIN_RATE_MM_H, FloatArray
from model.runtime.predictor import Predictor, fitting_frames

if TYPE_CHECKING:
    from model.runtime.engine import Elsewhere, Told, Work
    from model.runtime.onnx import Prepared

PROVENANCE: Final = (
    "radar_format",
    "source_product",
    "quantity",
    "zr_relation",
    "max_dbz",
    "capped_pixels",
    "source",
    "licence",
    "institution",
    "gaps",
)
"""What a forecast file keeps of the attributes of its input, as `input_...`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """A nowcast that is wanted: its frames (the newest of them count), steps ahead, and a note for its file."""

    sequence: FrameSequence
    steps: int
    note: str = ""


class Answer(NamedTuple):
    """What is told of one request (its index): the frame [y, x] (mm h-1, NaN = not known) of a lead step, counted from
    1; or the `error` that ended it; or only that it goes on. `share`: of all requests' work that is done."""

    request: int
    share: float
    step: int = 0
    frame: FloatArray | None = None
    error: Exception | None = None


OnStep = Callable[[int, FloatArray], None]


@runtime_checkable
class Batching(Protocol):
    """A predictor that makes several forecasts at once: `model.runtime.onnx.OnnxPredictor`."""

    def prepare(self, sequence: FrameSequence, steps: int) -> Prepared: ...
    def make(self, works: Sequence[Work], unwanted: set[int], elsewhere: Elsewhere | None = None) -> Iterator[Told]: ...


class Together:
    """Nowcasts by one predictor. Iterating makes them; an error of one is told as its answer, and the others go on.

    `elsewhere`: other processes that may make parts of a large domain. A request in which no frame holds rain gets dry
    frames at once; the predictor is not asked.

    Raises
    ------
    DeviceLost
        The device does not answer any more.
    """

    def __init__(self, requests: Sequence[Request], predictor: Predictor, elsewhere: Elsewhere | None = None) -> None:
        self._elsewhere = elsewhere
        self.requests = tuple(requests)
        self.predictor = predictor
        self._unwanted: set[int] = set()

    @staticmethod
    def batch_of(predictor: Predictor) -> Hashable:
        """Requests may be made together where this is the same."""
        return predictor.info.reference, predictor.info.digest, predictor.variant

    def drop(self, request: int) -> None:
        """This request is not wanted any more: nothing more is told of it, nor computed."""
        self._unwanted.add(request)

    def header(self, request: int) -> ForecastHeader:
        """The header of the forecast that a request becomes.

        Raises
        ------
        InputError
            The model does not fit the input, or the steps are out of its range.
        """
        asked = self.requests[request]
        newest = self._newest(asked)
        info = self.predictor.info
        attributes: dict[str, str] = {
            "source": f"Echocast {distribution_version('echocast')}, model {info.reference}",
            "echocast_version": distribution_version("echocast"),
            "model": info.name,
            "model_version": info.version,
            "model_digest": info.digest,
            "model_variant": self.predictor.variant,
            "input_digest": newest.digest(),
            **{f"input_{key}": newest.attributes[key] for key in PROVENANCE if key in newest.attributes},
        }
        if asked.note:
            attributes["comment"] = asked.note
        return ForecastHeader(
            reference_time=newest.reference_time,
            lead_minutes=newest.time_step_minutes() * np.arange(1, asked.steps + 1, dtype=np.float64),
            grid=newest.grid,
            attributes=attributes,
        )

    def __iter__(self) -> Iterator[Answer]:
        wet = []
        for index, request in enumerate(self.requests):
            try:
                newest = self._newest(request)
                dry = np.fmax.reduce(newest.rain_rate, axis=None, initial=0) < DRY_RAIN_RATE_MM_H
            except InputError as error:
                yield Answer(index, 0.0, error=error)
                continue
            if dry:
                yield from self._dry(index, newest)
            else:
                wet.append((index, newest))
        told = self._at_once(wet, self.predictor) if isinstance(self.predictor, Batching) else self._in_turn(wet)
        for answer in told:
            if answer.request not in self._unwanted:
                yield answer
                if answer.error is not None:
                    self.drop(answer.request)

    def _newest(self, request: Request) -> FrameSequence:
        """The frames that count."""
        info = self.predictor.info
        newest = fitting_frames(request.sequence, info)
        info.check_steps(request.steps, newest.time_step_minutes())
        return newest

    def _dry(self, index: int, newest: FrameSequence) -> Iterator[Answer]:
        frame = np.where(np.isfinite(newest.rain_rate[-1]), np.float32(0), np.float32(np.nan))
        steps = self.requests[index].steps
        for step in range(1, steps + 1):
            if index not in self._unwanted:
                yield Answer(index, step / steps, step, frame)

    def _at_once(self, wet: Sequence[tuple[int, FrameSequence]], predictor: Batching) -> Iterator[Answer]:
        prepared: list[tuple[int, Prepared]] = []
        for index, newest in wet:
            try:
                prepared.append((index, predictor.prepare(newest, self.requests[index].steps)))
            except Exception as error:
                yield Answer(index, 0.0, error=error)
        unwanted: set[int] = set()
        for told in predictor.make([each.work for _, each in prepared], unwanted, self._elsewhere):
            unwanted.update(work for work, (index, _) in enumerate(prepared) if index in self._unwanted)
            index, each = prepared[told.work]
            frame, ended = None, told.error
            if told.fraction is not None and told.work not in unwanted:
                try:
                    frame = each.finish(told.fraction)
                except Exception as error:
                    ended = error
            yield Answer(index, told.share, told.lead, frame, ended)

    def _in_turn(self, wet: Sequence[tuple[int, FrameSequence]]) -> Iterator[Answer]:
        total = sum(self.requests[index].steps for index, _ in wet)
        done = 0
        for index, newest in wet:
            try:
                for step, frame in enumerate(self.predictor.forecast(newest, self.requests[index].steps), start=1):
                    done += 1
                    yield Answer(index, done / total, step, frame)
                    if index in self._unwanted:
                        break
            except DeviceLost:
                raise
            except Exception as error:
                yield Answer(index, done / total, error=error)


def nowcast(
    sequence: FrameSequence,
    predictor: Predictor,
    steps: int,
    on_step: OnStep = lambda step, frame: None,
    note: str = "",
) -> Forecast:
    """Run `predictor` over the newest frames of `sequence`; all frames of the forecast at once, in memory.

    `on_step(step, frame)` is called after each lead step, counted from 1; it may raise to cancel.

    Raises
    ------
    InputError
        The model does not fit the input, or `steps` is out of its range.
    """
    together = Together([Request(sequence=sequence, steps=steps, note=note)], predictor)
    header = together.header(0)
    frames = np.empty((steps, *header.grid.shape), np.float32)
    for answer in together:
        if answer.error is not None:
            raise answer.error
        if answer.frame is not None:
            frames[answer.step - 1] = answer.frame
            on_step(answer.step, answer.frame)
    return Forecast(**vars(header), rain_rate=frames)
