"""A gateway in this process with a feed whose frames and nowcasts a test publishes, as a worker would."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from pyproj import CRS

from model.core.forecast_file import Forecast, write_netcdf
from model.core.forecast_output import ForecastOutput
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from service.feeds.arrivals import DecodedFrame
from service.feeds.tables import ArrivedFile
from service.jobs.job import Job
from service.store import input_key, result_key
from tests.packages import SHIPPED_REFERENCE

LON, LAT = 5.2, 52.1
PIXEL = 0.02
GRID = Grid.regular(CRS.from_epsg(4326), shape=(64, 64), pixel_size=PIXEL, centre=(LON, LAT))


def band(step):
    """Rain of 5 mm/h that moves east, by eight pixels of the grid in each step."""
    rain = np.zeros(GRID.shape, np.float32)
    rain[:, 8 * step : 8 * step + 8] = 5.0
    return rain


class LiveFeed:
    """A feed of `app`: what arrives, and what is published."""

    def __init__(self, app, folder, name="north"):
        self.context = app.state.context
        self.folder = folder
        self.name = name
        self._observed = None

    def observe(self, time, rain):
        """A frame arrives."""
        times = np.array([time.replace(tzinfo=None)], "datetime64[ns]")
        sequence = FrameSequence(rain_rate=rain[None], times=times, grid=GRID)
        before = self._observed
        self._observed = FrameSequence(
            rain_rate=np.concatenate([*([] if before is None else [before.rain_rate]), rain[None]]),
            times=np.concatenate([*([] if before is None else [before.times]), times]),
            grid=GRID,
        )
        key = f"frames/{self.name}-{time:%H%M}.nc"
        self.store(sequence, key)
        frame = DecodedFrame(
            valid_time=time, key=key, digest=sequence.digest(), grid="g", pixels=1, size=1, coverage=1.0
        )
        file = ArrivedFile(name=f"{time:%H%M}.h5", size=1, modified_ns=1)
        self.context.feed_ledger.record_frames(self.name, file, [frame])

    def forecast(self, rain, **more):
        """The nowcast of the newest frame is published: rain [lead, y, x], and what else `_publish` takes."""
        frame = self.context.feed_ledger.find_frame(self.name)
        job = Job(kind="feed", model="auto", steps=len(rain), inputs=[], feed=self.name)
        assert self.context.feed_ledger.submit(job, frame, model="auto")
        return self._publish(job, SHIPPED_REFERENCE, rain, **more)

    def challenge(self, rain, model="extrapolation"):
        """Another model's nowcast of the same frame is made: rain [lead, y, x]."""
        run = self.context.feed_ledger.find_run(self.name, "auto", None)
        job = Job(kind="challenger", model=model, steps=len(rain), inputs=[], feed=self.name)
        assert self.context.skill_ledger.submit_challenger(job, run, model)
        return self._publish(job, f"{model}@1", rain)

    def _publish(self, job, model_used, rain, *, probability=None, thresholds_mm_h=(0.5, 2.0), members=None, minutes=5):
        """`probability` [threshold, lead, y, x], `members` [member, lead, y, x]."""
        frame = self.context.feed_ledger.find_frame(self.name)
        forecast = Forecast(
            rain_rate=np.stack(rain),
            probability=probability,
            members=members,
            reference_time=np.datetime64(frame.valid_time.replace(tzinfo=None), "ns"),
            lead_minutes=minutes * np.arange(1.0, 1 + len(rain)),
            grid=GRID,
            attributes={},
            output=ForecastOutput(
                thresholds_mm_h=() if probability is None else thresholds_mm_h,
                members=0 if members is None else len(members),
            ),
            probability_method=None if probability is None else "distribution",
        )
        claimed = self.context.ledger.claim(job.id, 60)
        self.context.ledger.record_model(claimed, model_used=model_used, note="")
        self.store(forecast, result_key(job.id))
        self.store(self._observed, input_key(job.id))
        self.context.ledger.succeed(claimed, result_key=result_key(job.id), input_key=input_key(job.id))
        return job.id

    def history(self, newest, steps=3, leads=2):
        """Frames up to `newest`, five minutes apart, and the nowcast: a band of rain that moves east."""
        for step in range(steps):
            self.observe(newest - timedelta(minutes=5 * (steps - 1 - step)), band(step))
        rain = [band(steps + lead) for lead in range(leads)]
        likely = np.stack([np.stack(rain) * 0.16, np.stack(rain) * 0.06])  # 80 % and 30 % where it rains
        return self.forecast(rain, probability=likely.astype(np.float32))

    def store(self, item, key):
        """Put a forecast or frames into the store."""
        path = self.folder / "file.nc"
        path.unlink(missing_ok=True)
        write_netcdf(item, path)
        self.context.store.put(key, path)
