"""Processor time, memory and bytes of each product of a nowcast: `python -m benchmarks.speed.products NOWCAST.nc`.

Each product is made in a process of its own, whose children (GDAL) count. Processor time depends less on what else the
machine does than time by the clock.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from benchmarks.command_line import argument_parser
from service.feeds.config import Feed
from service.feeds.products import PRODUCTS, Product
from service.feeds.tables import FeedRun, RunState
from service.render.forecast_reader import RainFile
from service.store import ObjectStore
from workers.feeds.products.make import MAKERS
from workers.feeds.published_run import PublishedRun


def measure(nowcast: Path, product: Product) -> str:
    """Return one line on a product of a forecast file."""
    forecast = RainFile.open(nowcast)
    if product == "zarr":
        import zarr  # noqa: F401 - not counted: a worker imports it once
    with tempfile.TemporaryDirectory(prefix="echocast-") as name:
        folder = Path(name)
        (folder / "store").mkdir()
        time = forecast.reference_time
        ledger = SimpleNamespace(newest_time=lambda feed: time)
        context = cast(Any, SimpleNamespace(store=ObjectStore((folder / "store").as_uri()), feed_ledger=ledger))
        published = PublishedRun(
            feed=Feed(name="benchmark", folder=folder, clock="frames"),
            run=FeedRun(feed="benchmark", reference_time=time, model="auto", state=RunState.SUBMITTED),
            job_id="benchmark",
            nowcast=nowcast,
            folder=folder,
            renew=lambda: None,
        )
        before = _seconds()
        made = MAKERS[product](published, context)
        seconds = _seconds() - before
        files = [file.path for file in made] or [path for path in (folder / "store").rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return f"{product:14} {seconds:8.2f} s {peak / 1024:8.0f} MB {size / 1e6:8.1f} MB in {len(files)} files"


def _seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Measure every product of the file that is named, or the one that is named after it."""
    parser = argument_parser(__doc__)
    parser.add_argument("nowcast", type=Path, help="A forecast file.")
    parser.add_argument("product", nargs="?", choices=PRODUCTS, help="Of this product alone, in this process.")
    args = parser.parse_args()
    nowcast: Path = args.nowcast
    if args.product is not None:
        print(measure(nowcast, cast(Product, args.product)), flush=True)
        return
    forecast = RainFile.open(nowcast)
    ny, nx = forecast.grid.shape
    parts = f"{len(forecast)} lead steps, {forecast.members} members, {len(forecast.thresholds_mm_h)} thresholds"
    print(f"{nx} x {ny} pixels, {parts}; load {os.getloadavg()[0]:.1f}")
    print(f"{'product':14} {'processor':>10} {'peak':>11} {'size':>11}", flush=True)
    for product in PRODUCTS:
        subprocess.run([sys.executable, "-m", "benchmarks.speed.products", str(nowcast), product], check=True)


if __name__ == "__main__":
    main()
