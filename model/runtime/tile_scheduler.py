"""Forecasts of any domain in bounded memory, several at once: domains in tiles, tiles in batches, batches in waves.

Tiles are independent of each other. Tiles of one shape run as one batch, where the device gains by it. A wave is as
many tiles as there is memory for their states, and advances one lead step at a time: so the frames of a forecast that
lies in one wave are blended and reported as they are computed. A larger forecast takes several waves, and the frames of
its tiles wait in a spill file until the last tile is done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from model.core.errors import DeviceLost, InputError, OutOfMemory, first_line
from model.core.units import FloatArray
from model.runtime.device_errors import is_device_lost, is_out_of_memory
from model.runtime.forecast_task import ForecastTask, TiledForecast, TileTask
from model.runtime.graph_session import SMALLEST_SIDE, GraphSession
from model.runtime.request import ForecastEvent
from model.runtime.spill_file import SpillFile, pack_fraction, unpack_fraction
from model.runtime.tiles import Blend, Tile, tiles_of


@dataclass(eq=False)
class _TileBatch:
    """Tiles that run together.

    Attributes
    ----------
    steps_done : int
        Lead steps that were computed.
    frames : iterator, optional
        The running forecast, once it was started.
    output : ndarray
        Planes [tile, plane, y, x] of the last lead step that was computed.
    """

    tiles: Sequence[TileTask]
    steps_done: int = 0
    frames: Iterator[FloatArray | None] | None = None
    output: FloatArray = field(default_factory=lambda: np.empty(0, np.float32))

    @property
    def steps(self) -> int:
        """Lead steps of the longest forecast."""
        return max(tile.steps for tile in self.tiles)

    @property
    def forecasts(self) -> Iterable[TiledForecast]:
        """The forecasts that its tiles belong to, each once."""
        return dict.fromkeys(tile.forecast for tile in self.tiles)

    def is_needed(self, step: int) -> bool:
        """Return whether any forecast needs its frames of a lead step."""
        return any(not tile.forecast.ended and step <= tile.steps for tile in self.tiles)


class TileScheduler:
    """Runs forecasts on a graph.

    Parameters
    ----------
    session : GraphSession
        The graph.
    tile_side : int
        Longest side of a tile (pixels).
    batch_size : int
        Most tiles that run as one batch.
    memory_mb : int
        Memory for states and work space: half for the states of a wave, half for the work space of the batch that runs.
    """

    def __init__(self, session: GraphSession, *, tile_side: int, batch_size: int = 1, memory_mb: int = 1024) -> None:
        self.session = session
        self.batch_size = batch_size
        self._half_memory = memory_mb * 2**20 / 2
        self.tile_side = tile_side
        if session.state_bytes:
            fitting = int((self._half_memory / session.work_bytes) ** 0.5)
            self.tile_side = max(SMALLEST_SIDE, min(tile_side, fitting // session.stride * session.stride))

    def run(self, tasks: Sequence[ForecastTask]) -> Iterator[ForecastEvent]:
        """Compute forecasts and yield their events; see `model.runtime.predictor.Predictor.forecast`.

        Tiles of a forecast that is cancelled run to the next lead step, and beyond it only where another forecast
        waits for their batch.
        """
        forecasts = [self.cut(task) for task in tasks]
        try:
            while forecasts:
                run = _Pass(self, forecasts)
                yield from run.events()
                forecasts = run.recut
        finally:
            self.session.release()

    def cut(self, task: ForecastTask, side: int | None = None, steps_done: int = 0) -> TiledForecast:
        """Cut a forecast into tiles; one whose graph takes a single grid stays in one piece."""
        bound = self.session.grid is not None
        longest = max(task.shape) if bound else side or self.tile_side
        tiles = tiles_of(task.shape, self.session.stride, side=longest, wet=None if bound else task.wet)
        return TiledForecast(task, tiles, Blend(task.shape, tiles), steps_done)

    def waves(self, forecasts: Sequence[TiledForecast]) -> Iterator[list[TileTask]]:
        """Yield the tiles that advance together: of as many forecasts as fit in memory, or of a part of a larger one.

        A larger one goes batch by batch. Its frames wait in the spill file in any case, so that more tiles at once
        would only take memory.
        """
        wave: list[TileTask] = []
        for forecast in forecasts:
            tiles = [TileTask(forecast, tile) for tile in forecast.tiles]
            needed = self._state_bytes(tiles)
            if wave and needed + self._state_bytes(wave) > self._half_memory:
                yield wave
                wave = []
            if needed > self._half_memory:
                yield from map(list, _chunks(tiles, self.batch_size))
            else:
                wave += tiles
        if wave:
            yield wave

    def batches(self, wave: Sequence[TileTask]) -> list[_TileBatch]:
        """Group tiles of one shape with as many frames; a batch is no larger than there is work space for."""
        alike: dict[tuple[object, ...], list[TileTask]] = {}
        for tile in wave:
            inputs = tile.forecast.task.inputs
            key = (tile.tile.shape, len(inputs.data), None if inputs.fields is None else len(inputs.fields))
            alike.setdefault(key, []).append(tile)
        return [_TileBatch(part) for tiles in alike.values() for part in _chunks(tiles, self._batch_of(tiles[0].tile))]

    def _state_bytes(self, tiles: Sequence[TileTask]) -> float:
        """Return the size of the states before and after a step."""
        return sum(2 * self.session.state_bytes * tile.tile.pixels for tile in tiles)

    def _batch_of(self, tile: Tile) -> int:
        """Return how many tiles of one shape run as a batch."""
        if not self.session.state_bytes:
            return self.batch_size
        return max(1, min(self.batch_size, int(self._half_memory / (self.session.work_bytes * tile.pixels))))


class _Pass:
    """One pass over forecasts; those that run out of memory are cut into smaller tiles, for the next pass (`recut`)."""

    def __init__(self, scheduler: TileScheduler, forecasts: Sequence[TiledForecast]) -> None:
        self.recut: list[TiledForecast] = []
        self._scheduler = scheduler
        self._forecasts = forecasts
        self._waves = list(scheduler.waves(forecasts))
        self._work = sum(tile.steps * tile.tile.pixels for wave in self._waves for tile in wave)
        self._work_done = 0

    def events(self) -> Iterator[ForecastEvent]:
        """Yield the events of all forecasts."""
        try:
            for forecast in self._forecasts:
                waves = sum(any(tile.forecast is forecast for tile in wave) for wave in self._waves)
                if waves > 1:
                    forecast.spill = SpillFile()
                    self._offer(forecast)
                elif not waves:  # dry everywhere: the blend of no tiles is zero
                    yield from self._report_all(forecast, lambda step: iter(()))
            for number, wave in enumerate(self._waves):
                yield from self._advance_wave(wave)
                waiting = {tile.forecast for later in self._waves[number + 1 :] for tile in later}
                for forecast in dict.fromkeys(tile.forecast for tile in wave):
                    if forecast.spill is not None and forecast not in waiting:
                        with closing(forecast.spill) as spill:
                            yield from self._report_all(forecast, spill.frames)
        finally:
            for forecast in self._forecasts:
                if forecast.spill is not None:
                    forecast.spill.close()

    def _offer(self, forecast: TiledForecast) -> None:
        """Offer the tiles to other workers: their frames would wait in any case."""
        remote = forecast.task.request.remote_tiles
        if remote is not None and self._scheduler.batch_size == 1:
            remote.offer([tile for wave in self._waves for tile in wave if tile.forecast is forecast])

    def _advance_wave(self, wave: Sequence[TileTask]) -> Iterator[ForecastEvent]:
        batches = self._scheduler.batches(wave)
        for step in range(1, max(batch.steps for batch in batches) + 1):
            frames: dict[TiledForecast, list[tuple[Tile, FloatArray]]] = {}
            pending, batches = deque(batches), []
            while pending:
                batch = pending.popleft()
                if not batch.is_needed(step):
                    continue
                replacements = yield from self._advance(batch, step)
                if replacements is None:
                    batches.append(batch)
                    yield from self._collect(batch, step, frames)
                else:
                    pending.extendleft(reversed(replacements))
            for forecast, parts in frames.items():
                yield from self._report(forecast, step, iter(parts))

    def _advance(self, batch: _TileBatch, step: int) -> Generator[ForecastEvent, None, Sequence[_TileBatch] | None]:
        """Run a batch up to a lead step, or return the batches that start from the beginning in its place."""
        while batch.steps_done < step:
            try:
                frames = next(self._frames_of(batch))
            except Exception as error:  # onnxruntime raises its own, undocumented types
                if is_device_lost(error):
                    raise DeviceLost(first_line(error)) from None
                self._scheduler.session.release()
                if len(batch.tiles) > 1:
                    # Half a batch may fit. Any other error is one tile's: run alone, it fails alone.
                    size = len(batch.tiles) // 2 if is_out_of_memory(error) else 1
                    return [_TileBatch(part) for part in _chunks(batch.tiles, size)]
                yield from self._recut_or_fail(batch.tiles[0], error)
                return ()
            if frames is None:  # the network still reads the context, or another worker is not done
                yield from (self._progress(forecast) for forecast in batch.forecasts if not forecast.ended)
                if not batch.is_needed(step):
                    return ()
                continue
            batch.output = frames
            batch.steps_done += 1
            self._work_done += sum(tile.tile.pixels for tile in batch.tiles)
        return None

    def _frames_of(self, batch: _TileBatch) -> Iterator[FloatArray | None]:
        if batch.frames is None:
            batch.frames = self._scheduler.session.run_batch([tile.inputs for tile in batch.tiles], batch.steps)
            first, *others = batch.tiles
            remote = first.forecast.task.request.remote_tiles
            if remote is not None and first.forecast.spill is not None and not others:
                batch.frames = remote.frames(first, batch.frames)
        return batch.frames

    def _recut_or_fail(self, tile: TileTask, error: Exception) -> Iterator[ForecastEvent]:
        """Cut a forecast whose single tile has no room into tiles of half the side; else it fails with the error."""
        forecast, session = tile.forecast, self._scheduler.session
        side = max(tile.tile.shape) // 2 // session.stride * session.stride
        if not is_out_of_memory(error):
            yield self._fail(forecast, error)
        elif side < SMALLEST_SIDE or session.grid is not None:
            what = "a tile of {} x {} pixels needs more memory than the device has".format(*tile.tile.shape)
            hint = "Use a device with more memory, or a smaller model"
            yield self._fail(forecast, OutOfMemory(what, where="model", hint=hint))
        else:
            forecast.closed = True
            self.recut.append(self._scheduler.cut(forecast.task, side, forecast.steps_done))

    def _collect(
        self, batch: _TileBatch, step: int, frames: dict[TiledForecast, list[tuple[Tile, FloatArray]]]
    ) -> Iterator[ForecastEvent]:
        """Add the frames of a batch to `frames`, or to the spill files of their forecasts."""
        output, batch.output = batch.output, np.empty(0, np.float32)  # it may be as large as the states
        for tile, frame in zip(batch.tiles, output, strict=True):
            forecast = tile.forecast
            if forecast.ended or step > tile.steps:
                continue
            # A sum takes a quarter of the time of a look at each value, and says as much where it is finite.
            if not np.isfinite(frame.sum()) and not np.isfinite(frame).all():
                yield self._fail(forecast, _not_finite(step))
                continue
            if forecast.spill is not None:
                # As tiles of another worker arrive, so that the forecast does not depend on which worker computes one:
                # a field that compares probabilities with cuts passes the least rounding on.
                frame = unpack_fraction(pack_fraction(frame))
            try:
                planes = forecast.task.reduce(step, frame)
            except Exception as error:
                yield self._fail(forecast, error)
                continue
            if forecast.spill is None:
                frames.setdefault(forecast, []).append((tile.tile, planes))
            else:
                try:
                    forecast.spill.append(tile.tile, step, planes)
                except InputError as error:
                    yield self._fail(forecast, error)
                else:
                    yield self._progress(forecast)

    def _report_all(
        self, forecast: TiledForecast, frames: Callable[[int], Iterator[tuple[Tile, FloatArray]]]
    ) -> Iterator[ForecastEvent]:
        for step in range(1, forecast.task.request.steps + 1):
            if not forecast.ended:
                yield from self._report(forecast, step, frames(step))

    def _report(
        self, forecast: TiledForecast, step: int, frames: Iterator[tuple[Tile, FloatArray]]
    ) -> Iterator[ForecastEvent]:
        """Yield the frame of a lead step, unless it was reported before the forecast was cut into smaller tiles."""
        if forecast.ended or step <= forecast.steps_done:
            return
        forecast.steps_done = step
        try:
            fields = forecast.task.to_fields(forecast.blend.planes(frames, forecast.task.planes))
        except Exception as error:
            yield self._fail(forecast, error)
            return
        yield self._progress(forecast)._replace(step=step, **fields._asdict())

    def _fail(self, forecast: TiledForecast, error: Exception) -> ForecastEvent:
        forecast.closed = True
        return self._progress(forecast)._replace(error=error)

    def _progress(self, forecast: TiledForecast) -> ForecastEvent:
        return ForecastEvent(forecast.task.request, min(1.0, self._work_done / self._work) if self._work else 1.0)


def _chunks(tiles: Sequence[TileTask], size: int) -> Iterator[Sequence[TileTask]]:
    return (tiles[first : first + size] for first in range(0, len(tiles), size))


def _not_finite(step: int) -> InputError:
    return InputError(
        f"the network returned NaN at lead step {step}",
        where="model",
        hint="Choose another variant (ECHOCAST_VARIANT=fp32) or another model, and inform the author of the package",
    )
