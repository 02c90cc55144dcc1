"""Replay real frames through a feed with challengers, and measure its live skill and its recalibration.

`python -m tests.faults.replay_skill FOLDER --out DIR [--model auto] [--pattern '*'] [--recalibrate]` lets the files
arrive one by one, the oldest frame first; scan, runs and scoring are those of the workers, in this process. It
writes `skill.json`, the answer of `GET /v1/feeds/{feed}/skill`, and `reliability.json`: for each threshold, the
reliability term of the Brier score before and after the recalibration, of the forecasts that were recalibrated.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from model.core.probability_scores import brier, decomposition, reliability_curve
from service.api.feeds.skill_answer import feed_skill
from service.feeds.feeds_file import read_feeds
from service.feeds.skill.comparison import baselines_beside, most_scored
from service.feeds.skill.counts import PUBLISHED, UNCALIBRATED, bins_shape, unpack
from service.jobs.database import load
from service.jobs.job import Job, JobStatus
from service.settings import Settings
from workers.batch import run
from workers.context import WorkerContext, open_context
from workers.feeds.published import follow_up
from workers.feeds.replay import arrivals_of
from workers.feeds.scan import scan
from workers.feeds.skill.score import score_next

FEED = "replayed"
LONG = timedelta(days=31)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of radar files")
    parser.add_argument("--out", type=Path, required=True, help="folder of the figures")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--pattern", default="*")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--every", type=int, default=1, help="only every n-th frame")
    parser.add_argument("--first", type=int, default=0, help="index of the first frame")
    parser.add_argument("--last", type=int, default=None, help="index after the last frame")
    parser.add_argument("--recalibrate", action="store_true")
    return parser.parse_args()


def replay(options: argparse.Namespace, folder: Path) -> WorkerContext:
    """Let all files arrive, and return the context whose ledger has the scores."""
    frames, data = folder / "frames", folder / "data"
    frames.mkdir()
    data.mkdir()
    settings = Settings(data_dir=data, broker_url=None, feed_settle_seconds=0.0)
    settings.feeds_path.write_text(
        f'[[feed]]\nname = "{FEED}"\nfolder = "{frames}"\nmodel = "{options.model}"\nsteps = {options.steps}\n'
        f'challengers = ["extrapolation", "persistence"]\nclock = "frames"\n'
        f"recalibrate = {str(options.recalibrate).lower()}\n"
    )
    context = open_context(settings)
    scan(context)  # of the empty folder, so that every frame has a run
    spool = folder / "spool"
    spool.mkdir()
    found = arrivals_of(sorted(options.folder.glob(options.pattern)), spool, on_skipped=print)
    files = [arrival.path for arrival in found][options.first : options.last : options.every]
    spent = {"runs": 0.0, "scoring": 0.0}
    for number, file in enumerate(files, 1):
        shutil.copy2(file, frames / file.name)
        started = time.monotonic()
        scan(context)
        while waiting := accepted(context):
            run(waiting[0], context)
            follow_up(FEED, context)
        spent["runs"] += time.monotonic() - started
        started = time.monotonic()
        score_next(FEED, context)
        spent["scoring"] += time.monotonic() - started
        took = ", ".join(f"{what} {seconds:.1f} s" for what, seconds in spent.items())
        print(f"{number}/{len(files)} {file.name}: {took}", flush=True)
    score_next(FEED, context)
    return context


def accepted(context: WorkerContext) -> list[str]:
    """The waiting jobs, those of the feed first."""
    query = select(Job.id).where(Job.status == JobStatus.ACCEPTED).order_by(Job.kind.desc(), Job.created)
    return load(context.ledger.engine, query)


def reliability(context: WorkerContext, model: str) -> dict[str, Any]:
    """Reliability before and after the recalibration, of the same forecasts: all leads together."""
    newest = context.skill_ledger.newest_scored(FEED)
    assert newest is not None
    total, thresholds, frames = None, [], 0
    for [score] in context.skill_ledger.scores(FEED, newest - LONG, newest, [model], bins=True):
        thresholds = score.thresholds_mm_h
        if score.bins is None:
            continue
        bins = unpack(score.bins, (len(score.lead_minutes), *bins_shape(len(thresholds))))
        both = bins[:, UNCALIBRATED].sum(axis=(1, 2, 3)) > 0  # leads of runs that were recalibrated
        if both.any():
            frames += 1
            added = bins[both].sum(axis=0)
            total = added if total is None else total + added
    if total is None:
        return {"frames": 0}
    found: dict[str, Any] = {"frames": frames, "model": model, "thresholds": {}}
    for row, threshold in enumerate(thresholds):
        of_threshold = {}
        for name, source in (("before", UNCALIBRATED), ("after", PUBLISHED)):
            bins = total[source, row][..., None]
            curve = reliability_curve(total[source, row])
            of_threshold[name] = {
                "brier": float(brier(bins)[0]),
                "reliability": float(decomposition(bins)[0, 0]),
                "pixels": curve.pixels.tolist(),
                "forecast": np.nan_to_num(curve.forecast).tolist(),
                "observed": np.nan_to_num(curve.observed).tolist(),
            }
        found["thresholds"][f"{threshold:g}"] = of_threshold
    return found


def main() -> None:
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="replay-") as name:
        context = replay(options, Path(name))
        feed = read_feeds(context.settings.feeds_path).feeds[0]
        newest = context.skill_ledger.newest_scored(FEED)
        assert newest is not None, "nothing was scored"
        scored = context.skill_ledger.models(FEED, newest - LONG)
        model = most_scored(scored)
        for origin in ("reference", "publication"):
            skill = feed_skill(
                context.skill_ledger,
                feed,
                model,
                hours=24,
                origin=origin,  # type: ignore[arg-type]
                models=baselines_beside(model, scored),
            )
            suffix = "" if origin == "reference" else "-publication"
            (options.out / f"skill{suffix}.json").write_text(skill.model_dump_json(indent=1))
        (options.out / "reliability.json").write_text(json.dumps(reliability(context, model), indent=1))
        print(context.skill_ledger.skill(FEED)[model].sentence)
        print({path.name: path.stat().st_size for path in context.settings.data_dir.glob("*.db")})


if __name__ == "__main__":
    main()
