"""How long it takes to judge the places that browsers have subscribed to: `python -m benchmarks.speed.push_places`.

One nowcast of 12 lead steps on 700 x 700 pixels with five probabilities, in random rain; processor time by step.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pyproj import CRS

from model.core.forecast_file import Forecast, write_netcdf
from model.core.forecast_output import ForecastOutput
from model.core.grid import Grid
from service.feeds.alerts.recording import Found
from service.jobs.database import writing
from service.jobs.ledger import Ledger
from service.web_push.ledger import PushLedger
from service.web_push.tables import PushSubscription
from workers.feeds.alerts import judge_series
from workers.feeds.place_series import ForecastPlaces, PlaceSeries

SIDE, LEADS = 700, 12
THRESHOLDS = (0.1, 0.5, 2.0, 5.0, 10.0)
REFERENCE = datetime(2026, 6, 1, 12, tzinfo=UTC)
NOW = datetime(2026, 6, 1, 12, 2, tzinfo=UTC)


def main() -> None:
    """Measure, and print a line for each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--places", type=int, default=10_000, help="subscriptions, default 10000")
    places = parser.parse_args().places
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), places)


def measure(folder: Path, places: int) -> None:
    """Subscribe to random places, and judge them once."""
    random = np.random.default_rng(0)
    grid = Grid.regular(CRS.from_epsg(3035), shape=(SIDE, SIDE), pixel_size=1000.0, centre=(4e6, 3e6))
    write_netcdf(nowcast(grid, random), folder / "nowcast.nc")
    ledger = Ledger(f"sqlite:///{folder}/ledger.sqlite")
    subscribe(ledger, *grid.lon_lat(grid.x[random.integers(0, SIDE, places)], grid.y[random.integers(0, SIDE, places)]))
    push = PushLedger(ledger)
    clock = [time.process_time()]
    subscriptions = push.of_feed("north")
    clock.append(time.process_time())
    with ForecastPlaces.open(folder / "nowcast.nc") as forecast:
        series = forecast.points([(each.lon, each.lat) for each in subscriptions])
    clock.append(time.process_time())
    found = {each.id: judged(each, of_place) for each, of_place in zip(subscriptions, series, strict=True)}
    clock.append(time.process_time())
    told = push.record(found)
    clock.append(time.process_time())
    for step, seconds in zip(("load", "read", "judge", "record"), np.diff(clock), strict=True):
        print(f"{step:7} {seconds:.2f} s")
    print(f"all     {clock[-1] - clock[0]:.2f} s, {places} places, {told} told")
    ledger.close()


def nowcast(grid: Grid, random: np.random.Generator) -> Forecast:
    """Rain without any order, which is the hardest to compress."""
    rain = random.gamma(0.3, 2.0, (LEADS, SIDE, SIDE)).astype(np.float32)
    rain[rain < 0.5] = 0
    return Forecast(
        rain_rate=rain,
        reference_time=np.datetime64(REFERENCE.replace(tzinfo=None), "ns"),
        lead_minutes=np.arange(1, 1 + LEADS) * 5.0,
        grid=grid,
        attributes={},
        output=ForecastOutput(thresholds_mm_h=THRESHOLDS),
        probability=np.stack([np.clip(rain / 4, 0, 1)] * len(THRESHOLDS)),
        probability_method="distribution",
    )


def subscribe(ledger: Ledger, lon: np.ndarray, lat: np.ndarray) -> None:
    """Record a subscription of each place."""
    keys = {"client": "c", "endpoint": "e", "p256dh": "p", "auth": "a", "name": "Town", "language": "en"}
    limits = {"rain_rate": 0.5, "probability": 0.5, "within": 30.0}
    with writing(ledger.engine) as session:
        for number, (x, y) in enumerate(zip(lon, lat, strict=True)):
            place = {"id": f"{number:032d}", "feed": "north", "lon": float(x), "lat": float(y)}
            session.add(PushSubscription(**place, **keys, **limits))  # type: ignore[arg-type]


def judged(subscription: PushSubscription, series: PlaceSeries | Exception) -> Found:
    """Return what a nowcast says of one place."""
    assert isinstance(series, PlaceSeries)
    rule = subscription.rule()
    to_raise, to_stay = (judge_series(rule, series, NOW, raised=raised) for raised in (False, True))
    return Found(reference_time=REFERENCE, to_raise=to_raise, to_stay=to_stay)


if __name__ == "__main__":
    main()
