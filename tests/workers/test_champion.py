"""The model of a job: the champion at the time the job runs, or a fallback if it cannot be loaded."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import xarray as xr

from model.core.aliases import ALIASES
from model.core.promotion import rollback
from service.jobs.job import Job, JobStatus
from tests.packages import GRAPH, SHIPPED_REFERENCE, SHIPPED_VERSION, copied, crown, damage, rewrite_manifest
from workers.batch import run
from workers.context import WorkerContext
from workers.frames import frames_read_by


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHOCAST_THREADS", "1")


@pytest.fixture
def packages(context: WorkerContext) -> Path:
    """The folder of packages of the service, which is created when it is needed."""
    return context.settings.packages_folder


@pytest.fixture
def ran(context: WorkerContext, lab, tmp_path: Path):
    """Run a job that asks for a model, and return it finished."""

    def of(model: str, feed: bool = False) -> Job:
        frames = lab.write_frames(tmp_path / "a.npz", count=4)
        job = lab.upload(context.ledger, context.store, frames, model=model, feed="n" if feed else None)
        run(job.id, context)
        return context.ledger.get(job.id)

    return of


@pytest.mark.parametrize("feed", [False, True])
def test_each_promotion_and_rollback_counts_for_the_next_job(ran, packages: Path, feed: bool) -> None:
    assert ran("auto", feed).model_used == SHIPPED_REFERENCE
    crown(copied(packages, "mine@1"))
    assert ran("auto", feed).model_used == "mine@1"
    crown(copied(packages, "mine@2"))
    done = ran("champion", feed)
    assert (done.status, done.model_used, done.note) == (JobStatus.SUCCESSFUL, "mine@2", "")
    rollback(packages)
    assert ran("champion", feed).model_used == "mine@1"
    rollback(packages)
    assert ran("auto", feed).model_used == SHIPPED_REFERENCE
    failed = ran("champion", feed)
    assert failed.problem is not None
    assert failed.problem["what"] == "no model was promoted to champion"


@pytest.mark.parametrize("feed", [False, True])
@pytest.mark.parametrize("model", ["auto", "champion"])
def test_a_champion_whose_graph_is_damaged_gives_way_and_the_job_and_the_log_say_so(
    ran, packages: Path, caplog: pytest.LogCaptureFixture, model: str, feed: bool
) -> None:
    crown(copied(packages, "mine@1"))
    newest = copied(packages, "mine@2")
    crown(newest)
    assert ran(model, feed).model_used == "mine@2"
    kept = (newest / GRAPH).read_bytes()
    damage(newest / GRAPH)  # after it was loaded
    with caplog.at_level(logging.WARNING):
        done = ran(model, feed)
    why = f"the champion mine@2 cannot be used: file {GRAPH} does not match its digest"
    assert (done.status, done.model_used, done.note) == (JobStatus.SUCCESSFUL, "mine@1", why)
    (line,) = (record.getMessage() for record in caplog.records if record.name == "workers.nowcast_job")
    assert line == f"job {done.id}: mine@1 runs: {why}"
    named = ran("mine@2", feed)
    assert named.status is JobStatus.FAILED
    assert named.problem is not None
    assert named.problem["code"] == "bad-package"
    assert "does not match its digest" in named.problem["what"]
    (newest / GRAPH).write_bytes(kept)
    assert ran(model, feed).model_used == "mine@2"


def unloadable(packages: Path, reference: str) -> Path:
    package = copied(packages, reference)
    for graph in package.glob("*.onnx"):
        graph.write_bytes(b"not a graph")
    rewrite_manifest(package)
    return package


def test_a_graph_that_does_not_load_gives_way_to_the_one_before_and_so_on(
    ran, packages: Path, context: WorkerContext, tmp_path: Path
) -> None:
    crown(unloadable(packages, "mine@1"))
    done = ran("auto")
    assert done.model_used == SHIPPED_REFERENCE
    assert "the champion mine@1 cannot be used: ONNX Runtime cannot load the graph" in done.note
    crown(unloadable(packages, "mine@2"))
    done = ran("champion")
    assert done.model_used == SHIPPED_REFERENCE
    assert "the champion mine@2 cannot be used" in done.note
    assert "mine@1 before it cannot be used" in done.note
    with xr.open_dataset(context.store.fetch(str(done.result_key), tmp_path / "result.nc")) as forecast:
        assert (forecast.attrs["model"], forecast.attrs["model_version"]) == ("rain-ms-predrnn", SHIPPED_VERSION)
        assert forecast.attrs["comment"] == done.note


def test_a_champion_that_was_changed_or_is_gone_gives_way(ran, packages: Path) -> None:
    package = copied(packages, "mine@1")
    crown(package)
    rewrite_manifest(package, summary="Changed.")
    assert "mine@1 was changed since it became champion" in ran("auto").note
    shutil.rmtree(package)
    done = ran("auto")
    assert done.model_used == SHIPPED_REFERENCE
    assert "mine@1 is not installed" in done.note


def test_damaged_aliases_stop_no_nowcast(ran, packages: Path, caplog: pytest.LogCaptureFixture) -> None:
    crown(copied(packages, "mine@1"))
    (packages / ALIASES).write_text("{")
    with caplog.at_level(logging.WARNING):
        for model in ("auto", "champion"):
            done = ran(model)
            assert (done.status, done.model_used) == (JobStatus.SUCCESSFUL, SHIPPED_REFERENCE)
            assert "the champion is not known: the aliases are damaged" in done.note
    assert "the aliases are damaged" in caplog.text
    assert ran("mine@1").model_used == "mine@1"
    failed = ran("challenger")
    assert failed.problem is not None
    assert failed.problem["code"] == "bad-aliases"


def test_a_promotion_while_a_job_runs_leaves_that_job_alone(
    context: WorkerContext, lab, packages: Path, tmp_path: Path
) -> None:
    first = copied(packages, "mine@1")
    crown(first)
    job = lab.upload(context.ledger, context.store, lab.write_frames(tmp_path / "a.npz", count=4), model="auto")
    ledger = context.ledger

    class Promoting:
        """The ledger, with a promotion (and the removal of its package) right after the job recorded its model."""

        def __getattr__(self, name: str) -> object:
            return getattr(ledger, name)

        def record_model(self, *given: object, **named: object) -> None:
            ledger.record_model(*given, **named)  # type: ignore[arg-type]
            crown(copied(packages, "mine@2"))
            shutil.rmtree(first)

    run(job.id, replace(context, ledger=Promoting()))  # type: ignore[arg-type]
    done = ledger.get(job.id)
    assert (done.status, done.model_used, done.note) == (JobStatus.SUCCESSFUL, "mine@1", "")


def test_a_feed_gives_enough_frames_for_every_model_that_auto_may_be(context: WorkerContext, packages: Path) -> None:
    assert frames_read_by("auto", context.catalog) == 4
    crown(copied(packages, "mine@1", input_frames=10))
    assert [frames_read_by(name, context.catalog) for name in ("auto", "champion", "extrapolation")] == [10, 10, 3]
    crown(copied(packages, "mine@2", input_frames=2))
    assert [frames_read_by(name, context.catalog) for name in ("auto", "champion")] == [4, 2]
