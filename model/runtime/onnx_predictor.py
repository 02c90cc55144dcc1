"""Model packages on ONNX Runtime: rain rates become the network's input, and its output becomes rain rates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.core.errors import BadPackage, DeviceLost, InputError, first_line
from model.core.manifest import Distribution
from model.core.model_info import ModelInfo
from model.core.normalisation import hko7_fraction, hko7_rain_rate_mm_h
from model.core.package_digest import verify_package
from model.core.probability_calibration import ProbabilityCalibration
from model.core.sequence import FrameSequence
from model.core.units import FloatArray
from model.runtime.ceiling import WET_FRACTION, rain_ceiling
from model.runtime.device import EngineOptions, fastest_variant, gpu_memory_mb, open_session, select_device
from model.runtime.device_errors import is_device_lost
from model.runtime.exogenous_fields import fields_for
from model.runtime.forecast_task import ForecastTask
from model.runtime.gap_filling import context_frames, has_gaps
from model.runtime.graph_session import FIELDS, ForecastInput, GraphSession, OneStepSession, WholeSession
from model.runtime.lead_fields import DeterministicFields, DistributionFields, to_rain_rate
from model.runtime.members import MemberGenerator
from model.runtime.motion import estimate_motion, trajectories
from model.runtime.predictor import BasePredictor
from model.runtime.remote_tiles import forecast_encoded_tile
from model.runtime.request import ForecastEvent, ForecastRequest
from model.runtime.tile_scheduler import TileScheduler
from model.runtime.tiles import TILE_SIDE

WHOLE_TILE_SIDE = 512
"""Tiles of a recurrent-free network are smaller: it holds the features of all frames at once."""

GPU_BATCH = 16
"""Tiles that run as one batch on a GPU."""
WARM_UP_SIDE = 128
"""Side of the domain of the warm-up (pixels)."""


class OnnxPredictor(BasePredictor):
    """A model package in a session of ONNX Runtime.

    Parameters
    ----------
    info : ModelInfo
        The package's entry in the catalog.
    fields : Path, optional
        A folder of exogenous fields, beside those in the package.
    options : EngineOptions, optional
        Device, variant and memory; None: those of the environment.

    Raises
    ------
    BadPackage
        A file is missing or changed, or the graph cannot be loaded or is too large for the device.
    InputError
        The requested device is not available.
    """

    def __init__(self, info: ModelInfo, fields: Path | None = None, options: EngineOptions | None = None) -> None:
        if info.folder is None:
            raise BadPackage("the model has no package", where=info.reference, hint="Import its package")
        options = options or EngineOptions.from_environment()
        self.info = info
        self.manifest = verify_package(info.folder)
        if self.manifest.channels != 1:
            what = f"the network reads frames of {self.manifest.channels} channels, rain has 1"
            raise BadPackage(what, where=info.reference, hint="Choose a model of rain")
        precision = fastest_variant(self.manifest.variants, select_device(options), options.variant)
        self.session: GraphSession = open_session(info.folder / self.manifest.variants[precision], options=options)
        thresholds = self.session.threshold_count
        expected = len(self.manifest.distribution.thresholds_mm_h) if self.manifest.distribution else 0
        if thresholds != expected:
            what = f"the graph returns probabilities of {thresholds} thresholds, the manifest names {expected}"
            raise BadPackage(what, where=info.reference, hint="Export the package again")
        if FIELDS in self.session.reads and not self.manifest.fields:
            what = "the network reads exogenous fields, and the manifest names none"
            raise BadPackage(what, where=info.reference, hint="Choose a model of rain")
        self.variant = f"{precision} on {self.session.device.upper()}"
        self.fields = fields
        self.options = options
        gpu_mb = (options.gpu_memory_mb or gpu_memory_mb()) if self.session.device == "cuda" else 0
        self.memory_mb = gpu_mb // 2 or options.memory_mb  # half of a GPU: other models stay loaded

    @property
    def calibration(self) -> ProbabilityCalibration | None:
        """See BasePredictor.calibration."""
        return self.manifest.calibration

    def warm_up(self) -> None:
        """See Predictor.warm_up: one small forecast."""
        ny, nx = self.session.grid or (WARM_UP_SIDE,) * 2
        ny, nx = (side + -side % self.manifest.stride for side in (ny, nx))
        frames, steps = self.manifest.input_frames, 2
        planes = sum(int(item.shape[-3]) for item in self.session.session.get_inputs() if item.name == FIELDS)
        inputs = ForecastInput(
            data=np.full((frames, 1, ny, nx), 0.5, np.float32),
            known=np.ones((frames, 1, ny, nx), np.bool_),
            step_minutes=self.manifest.time_step.min_minutes,
            fields=np.zeros((frames + steps, planes, ny, nx), np.float32) if planes else None,
        )
        try:
            list(self.session.run(inputs, steps))
        except Exception as error:  # onnxruntime raises its own, undocumented types
            reason = first_line(error)
            if is_device_lost(error):
                raise DeviceLost(reason) from None
            raise BadPackage(
                f"the graph cannot run ({reason})", where=self.info.reference, hint="Export the package again"
            ) from None
        finally:
            self.session.release()

    def forecast_tile(self, tile: bytes) -> bytes:
        """See Predictor.forecast_tile."""
        return forecast_encoded_tile(self.session, tile)

    def _events(self, requests: Sequence[ForecastRequest]) -> Iterator[ForecastEvent]:
        """Yield the events of requests in which it rains, computed together."""
        tasks = []
        for request in requests:
            try:
                tasks.append(self.prepare(request))
            except Exception as error:
                yield ForecastEvent(request, 0.0, error=error)
        yield from self.run(tasks)

    def prepare(self, request: ForecastRequest) -> ForecastTask:
        """Turn a request into what the graph computes.

        Raises
        ------
        InputError
            Exogenous fields are missing, or do not cover the frames and the forecast.
        """
        sequence, steps = request.sequence, request.steps
        rain = sequence.rain_rate
        lagrangian = self.manifest.frame_of_reference == "lagrangian"
        gaps = has_gaps(rain)
        motion = estimate_motion(rain) if lagrangian or gaps or request.output.members else None
        inputs = self._inputs(context_frames(rain, motion, gaps=gaps, lagrangian=lagrangian), sequence, steps)
        known = np.isfinite(rain[-1])
        moves = None if motion is None else trajectories(motion, steps)
        arrivals = moves if lagrangian else None

        fields: DeterministicFields | DistributionFields = DeterministicFields(known, arrivals)
        if self.manifest.distribution is not None:
            ceiling_mm_h = float(hko7_rain_rate_mm_h(np.array(inputs.ceiling)))
            fields = DistributionFields(
                self.manifest.distribution,
                request.output,
                known=known,
                arrivals=arrivals,
                step_minutes=inputs.step_minutes,
                ceiling_mm_h=ceiling_mm_h,
                members=self._members(self.manifest.distribution, request, ceiling_mm_h),
                member_arrivals=moves,
            )
        wet = self._wet(inputs, lagrangian) if self.options.skip_dry else None
        return ForecastTask(
            request=request, inputs=inputs, to_fields=fields, reduce=fields.reduce, planes=fields.planes, wet=wet
        )

    @staticmethod
    def _members(distribution: Distribution, request: ForecastRequest, ceiling_mm_h: float) -> MemberGenerator | None:
        """Return what makes the members of a forecast, None if none were asked for."""
        if not request.output.members:
            return None
        sequence = request.sequence
        return MemberGenerator(
            sequence.rain_rate[-1],
            request.output.members,
            request.member_seed,
            step_minutes=sequence.time_step_minutes(),
            pixel_km=math.sqrt(math.prod(sequence.grid.pixel_size_m)) / 1000,
            thresholds_mm_h=distribution.thresholds_mm_h,
            tail_mm_h=distribution.tail_mm_h,
            ceiling_mm_h=ceiling_mm_h,
        )

    def run(self, tasks: Sequence[ForecastTask]) -> Iterator[ForecastEvent]:
        """Compute prepared forecasts together; see `model.runtime.tile_scheduler.TileScheduler.run`."""
        scheduler = TileScheduler(
            self.session,
            tile_side=WHOLE_TILE_SIDE if isinstance(self.session, WholeSession) else TILE_SIDE,
            batch_size=self.options.batch_size or (GPU_BATCH if self.session.device == "cuda" else 1),
            memory_mb=self.memory_mb,
        )
        return scheduler.run(tasks)

    def rollout(self, sequence: FrameSequence, steps: int) -> Iterator[FloatArray]:
        """See Predictor.rollout; the outputs of the graph are capped at 1, and not at the ceiling of a nowcast.

        Raises
        ------
        InputError
            The network reads a whole sequence at once, or frames that were warped to the newest one.
        """
        lagrangian = self.manifest.frame_of_reference == "lagrangian"
        if lagrangian or not isinstance(self.session, OneStepSession):
            reads = "frames warped along the motion" if lagrangian else "all frames at once"
            what = f"{self.info.reference} reads {reads}: it makes no predictions over its input, which are scored here"
            raise InputError(what, where="model", hint="Leave that model out, or choose another protocol")
        ny, nx = sequence.grid.shape
        inputs = self._inputs(enumerate(sequence.rain_rate), sequence, steps, ceiling=1.0)
        predictions = self.session.rollout(inputs, steps)
        known = np.isfinite(sequence.rain_rate)
        for index, prediction in enumerate(predictions):
            yield to_rain_rate(prediction[0, :ny, :nx], known[min(index, len(known) - 1)])

    def _inputs(
        self,
        frames: Iterable[tuple[int, FloatArray]],
        sequence: FrameSequence,
        steps: int,
        *,
        ceiling: float | None = None,
    ) -> ForecastInput:
        """Return frames [y, x], which come with their index, as the graph reads them: padded, with fields."""
        ny, nx = sequence.grid.shape
        pad = padding((ny, nx), self.manifest.stride)
        data = np.zeros((len(sequence), 1, ny + pad[1][1], nx + pad[2][1]), np.float32)
        known = np.zeros(data.shape, np.bool_)
        for index, frame in frames:
            fraction = hko7_fraction(frame)
            known[index, 0, :ny, :nx] = np.isfinite(fraction)
            data[index, 0, :ny, :nx] = np.nan_to_num(fraction, copy=False)
        fields = None
        if self.manifest.fields:
            times = sequence.times_with_leads(steps)
            fields = fields_for(self.manifest.fields, times, sequence.grid, self.fields, package=self.info.folder)
        return ForecastInput(
            data=data,
            known=known,
            step_minutes=sequence.time_step_minutes(),
            fields=None if fields is None else np.pad(fields, [(0, 0), *pad], mode="edge"),
            ceiling=rain_ceiling(data) if ceiling is None else ceiling,
        )

    def _wet(self, inputs: ForecastInput, lagrangian: bool) -> NDArray[np.bool_] | None:
        """Return where rain was observed [y, x]; None if dry areas affect the forecast elsewhere.

        In the moving frame of reference rain stays where it is. Dry areas matter to a network that moves the rain
        itself, and to layer norms, whose statistics depend on the share of dry pixels.
        """
        norms = bool(self.manifest.config.get("net", {}).get("layer_norm", True))
        if not lagrangian or norms or not isinstance(self.session, OneStepSession) or self.manifest.fields:
            return None
        return np.asarray((inputs.data[:, 0] >= WET_FRACTION).any(axis=0))


def padding(shape: tuple[int, int], stride: int) -> list[tuple[int, int]]:
    """Return the `numpy.pad` widths that make frames [time, y, x] of a shape fit the stride."""
    return [(0, 0), *((0, -side % stride) for side in shape)]
