"""`echocast feeds`: how the feeds do, and what is wrong with them before they are used."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from model.core.errors import InputError
from service.jobs.job import JobStatus, Problem
from service.settings import Settings
from workers.batch import run
from workers.context import WorkerContext
from workers.feeds.backfill import repeat_run
from workers.feeds.cli import feeds
from workers.feeds.scan import scan


@pytest.fixture(autouse=True)
def _settled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHOCAST_FEED_SETTLE_SECONDS", "0")


@pytest.fixture
def feed_keys() -> dict[str, object]:
    return {"clock": "frames"}


def echocast(settings: Settings, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(feeds, [*arguments, "--data-dir", str(settings.data_dir)])
    if isinstance(result.exception, InputError):
        raise result.exception
    return result.exit_code, result.output


def checked(settings: Settings, *names: str) -> tuple[int, list[dict[str, Any]]]:
    code, output = echocast(settings, "check", *names, "--json")
    return code, json.loads(output)["feeds"]


def test_no_feeds_are_told(settings: Settings) -> None:
    assert echocast(settings, "list") == (0, f"There is no feed in {settings.feeds_path}.\n")
    assert echocast(settings, "check")[0] == 0


def test_feeds_are_listed_before_and_after_their_first_nowcast(
    folder: Path, settings: Settings, context: WorkerContext, lab
) -> None:
    code, output = echocast(settings, "list", "--json")
    [before] = json.loads(output)["feeds"]
    assert (code, before["status"], before["reason"]) == (0, "unavailable", "it was not scanned yet")
    for n in range(3):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    scan(context)
    run(lab.jobs(context.ledger)[0].id, context)
    [after] = json.loads(echocast(settings, "list", "--json")[1])["feeds"]
    assert (after["status"], after["latest_reference_time"]) == ("ok", "2026-06-01T12:10:00Z")
    assert (after["interval_minutes"], after["age_minutes"]) == (5, 0)
    assert "north" in echocast(settings, "list")[1]


def test_a_feed_that_works_is_told_what_will_run(folder: Path, settings: Settings, lab) -> None:
    lab.write_frames(folder / "f0.npz", size=32)
    assert echocast(settings, "check") == (
        0,
        "ok   north: files: 1; f0.npz is valid at 2026-06-01T12:00Z, 32 x 32 pixels; extrapolation@1 runs\n",
    )


def test_what_is_wrong_is_told_with_what_to_do(folder: Path, settings: Settings, lab) -> None:
    code, [empty] = checked(settings)
    assert (code, empty["ok"], empty["what"]) == (2, False, f"no file in {folder} matches '*'")
    (folder / "f0.npz").write_bytes(b"half a frame")
    [unreadable] = checked(settings)[1]
    assert "f0.npz: this is text" in unreadable["what"]
    lab.write_frames(folder / "f1.npz")
    with settings.feeds_path.open("a") as file:
        file.write(f'[[feed]]\nname = "south"\nfolder = "{folder}"\nmodel = "no-such"\n')
        file.write(f'[[feed]]\nname = "east"\nfolder = "{folder}"\nchallengers = ["no-such"]\n')
        file.write('[[feed]]\nname = "west"\nfolder = "/no/such/folder"\n')
    code, found = checked(settings)
    assert code == 2
    by_name = {each["feed"].rpartition(": ")[2]: each for each in found}
    assert by_name["north"]["ok"]
    assert by_name["south"]["what"] == "no model 'no-such': extrapolation will run"
    assert by_name["south"]["hint"].startswith("Choose one of persistence")
    assert by_name["east"]["what"] == "feed east, challengers: no model 'no-such'"
    assert "is not a folder" in by_name["feed 'west', folder"]["what"]
    assert all(each["ok"] or each["hint"] for each in found)


def test_an_unknown_name_is_told(folder: Path, settings: Settings) -> None:
    with pytest.raises(InputError, match=r"there is no valid feed 'south'.*Valid feeds: north"):
        echocast(settings, "check", "south")


def test_a_scan_that_is_asked_for_submits_the_newest_run(
    folder: Path, settings: Settings, context: WorkerContext, lab
) -> None:
    for n in range(3):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    assert echocast(settings, "run", "north") == (0, "north: the run from 2026-06-01T12:10:00Z is submitted\n")
    assert len(lab.jobs(context.ledger)) == 1


def backfilled(settings: Settings) -> list[tuple[str, str]]:
    period = ("--since", "2026-06-01T12:05Z", "--until", "2026-06-01T12:10")
    code, output = echocast(settings, "backfill", "north", *period, "--json")
    assert code == 0
    return [(run["reference_time"][11:16], run["status"]) for run in json.loads(output.splitlines()[-1])["runs"]]


def test_nowcasts_of_the_past_are_made_where_they_are_missing(
    folder: Path, settings: Settings, context: WorkerContext, lab
) -> None:
    with settings.feeds_path.open("a") as file:
        file.write("frames = 3\nsteps = 2\nprobabilities = []\n")
    for n in range(6):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    scan(context)
    run(lab.jobs(context.ledger)[0].id, context)
    assert len(context.feed_ledger.runs("north")) == 1, "of the first scan only the newest frame is forecast"

    made = []
    for _ in range(2):
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(backfilled, settings)
            while not asked.done():
                for job in lab.jobs(context.ledger, JobStatus.ACCEPTED):
                    run(job.id, context)
                time.sleep(0.05)
            made.append(asked.result())
    assert made == [[("12:05", "successful"), ("12:10", "successful")], []]


def test_a_run_that_failed_is_made_again_and_one_with_a_nowcast_is_not(
    folder: Path, settings: Settings, context: WorkerContext, lab
) -> None:
    with settings.feeds_path.open("a") as file:
        file.write("frames = 3\nsteps = 2\nprobabilities = []\n")
    for n in range(3):
        lab.write_frames(folder / f"f{n}.npz", first=n)
    scan(context)
    [job] = lab.jobs(context.ledger)
    time_of_run = context.feed_ledger.runs("north")[0].reference_time
    repeat_run("north", time_of_run, context)
    assert [each.id for each in lab.jobs(context.ledger)] == [job.id], "it is about to have one"
    problem = Problem(code="time-limit", what="it took too long", where="worker", hint="Ask for less")
    claimed = context.ledger.claim(job.id, 60)
    assert claimed is not None
    context.ledger.fail(claimed, problem)
    repeat_run("north", time_of_run, context)
    [again] = lab.jobs(context.ledger, JobStatus.ACCEPTED)
    run(again.id, context)
    repeat_run("north", time_of_run, context)
    repeat_run("atlantis", time_of_run, context)
    assert context.feed_ledger.runs("north")[0].status is JobStatus.SUCCESSFUL
    assert len(lab.jobs(context.ledger)) == 2


def test_what_cannot_be_backfilled_is_told(folder: Path, settings: Settings, context: WorkerContext, lab) -> None:
    lab.write_frames(folder / "f0.npz", count=3)
    with pytest.raises(InputError, match="--since: 'noon' is no time"):
        echocast(settings, "backfill", "north", "--since", "noon")
    scan(context)
    with pytest.raises(InputError, match="frames are kept for 7 days"):
        echocast(settings, "backfill", "north", "--since", "2026-05-01T12:00Z")


def test_a_product_whose_package_is_not_installed_is_told(
    folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with settings.feeds_path.open("a") as file:
        file.write('products = ["accumulations", "zarr"]\n')
    monkeypatch.setattr("service.feeds.products.is_installed", lambda package: package != "zarr")
    code, [found] = checked(settings)
    assert (code, found["what"]) == (2, "products: the product zarr needs zarr, which is not installed")
    assert "echocast[zarr]" in found["hint"]
