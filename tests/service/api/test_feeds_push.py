"""Frames sent over HTTP: stored at once, read by a worker, with an outcome for each file; twice is once."""

import threading

import numpy as np
import pytest

from service.jobs.api_keys import ApiKeys, Scope
from workers.context import open_context
from workers.feeds.scan import scan

START = np.datetime64("2026-06-01T12:00:00")


@pytest.fixture
def feed(settings):
    """The feed `sent`, and `north`, whose frames come from a folder."""
    settings.feeds_path.write_text(
        '[[feed]]\nname = "sent"\npush = true\nclock = "frames"\nmodel = "extrapolation"\nsteps = 2\n'
        '[[feed]]\nname = "north"\nfolder = "/radar"\n'
    )
    yield
    settings.feeds_path.unlink()


@pytest.fixture(scope="module")
def worker(settings):
    context = open_context(settings)
    yield context
    context.ledger.close()


@pytest.fixture
def frame(tmp_path):
    """The bytes of a file with a frame, `number` steps after START."""

    def write(number, rain=4.0):
        path = tmp_path / "frame.npz"
        np.savez(
            path, rain_rate=np.full((1, 32, 32), rain, np.float32), times=[START + number * np.timedelta64(300, "s")]
        )
        return path.read_bytes()

    return write


def send(gateway, *files, feed="sent", wait=0, **headers):
    response = gateway.post(
        f"/v1/feeds/{feed}/frames",
        files=[("files", file) for file in files],
        headers={"Prefer": f"wait={wait}", **headers},
    )
    return response.status_code, response.json()


def told(body):
    return [(file["name"], file["state"]) for file in body["files"]]


def test_files_wait_until_a_worker_reads_them_and_have_their_outcome(gateway, feed, frame, worker):
    files = [("latest.npz", frame(0)), ("latest.npz", frame(1)), ("broken.h5", b"half a frame")]
    status, body = send(gateway, *files)
    assert (status, {state for _, state in told(body)}) == (202, {"received"})
    scan(worker, ["sent"])
    status, body = send(gateway, *files[:2])
    assert (status, told(body)) == (200, [("latest.npz", "accepted")] * 2), "frames of one name are two"
    assert [file["valid_time"] for file in body["files"]] == ["2026-06-01T12:00:00Z", "2026-06-01T12:05:00Z"]
    listed = gateway.get("/v1/feeds/sent").json()
    assert ("broken.h5", "unreadable") in told(listed)
    assert [run["reference_time"] for run in listed["runs"]] == ["2026-06-01T12:05:00Z"]
    assert not list((worker.settings.data_dir / "store" / "feeds" / "sent" / "pushed").glob("*")), "nothing is left"


def test_a_request_waits_for_the_outcome_and_asks_for_the_scan(gateway, feed, frame, worker, context, monkeypatch):
    asked = []

    def scan_feed(name):
        asked.append(threading.Thread(target=scan, args=(worker, [name])))
        asked[-1].start()
        return True

    monkeypatch.setattr(context.queue, "scan_feed", scan_feed)
    corrected = frame(2, rain=8.0)
    assert told(send(gateway, ("a.npz", frame(2)), wait=30)[1]) == [("a.npz", "accepted")]
    status, body = send(gateway, ("b.npz", corrected), wait=30)
    assert (status, told(body)) == (200, [("b.npz", "reissued")])
    assert told(send(gateway, ("again.npz", corrected), wait=30)[1]) == [("again.npz", "duplicate")]
    assert told(send(gateway, ("b.npz", corrected), wait=30)[1]) == [("b.npz", "reissued")], "the outcome of before"
    for thread in asked:
        thread.join()


def test_what_was_unreadable_is_read_when_it_is_sent_again(gateway, feed, worker):
    for _ in range(2):
        assert told(send(gateway, ("noise.h5", b"noise"))[1]) == [("noise.h5", "received")]
        scan(worker, ["sent"])


def test_files_that_come_while_the_feed_is_scanned_are_read_by_that_scan(gateway, feed, frame, worker, monkeypatch):
    from workers.feeds import scan as scanning

    scan_feed, late = scanning.scan_feed, [("late.npz", frame(6))]

    def scan_then_receive(*arguments):
        outcome = scan_feed(*arguments)
        if late:
            send(gateway, late.pop())
            scan(worker, ["sent"])  # what the request asks for: another process has the feed
        return outcome

    monkeypatch.setattr(scanning, "scan_feed", scan_then_receive)
    send(gateway, ("first.npz", frame(5)))
    scan(worker, ["sent"])
    assert worker.feed_ledger.received_files("sent") == []


@pytest.mark.parametrize(
    ("feed_name", "files", "problem"),
    [
        ("north", [("a.npz", b"x")], "feed-not-pushed"),
        ("atlantis", [("a.npz", b"x")], "no-such-feed"),
        ("sent", [("a.npz", b"")], "empty-file"),
        ("sent", [("a.npz", b"x" * 1_100_000)], "too-large"),
        ("sent", [(f"{number}.npz", b"x") for number in range(4)], "too-many-files"),
    ],
)
def test_what_cannot_be_sent_is_told(gateway, feed, feed_name, files, problem):
    assert send(gateway, *files, feed=feed_name)[1]["type"] == f"/problems/{problem}"


def test_only_clients_that_may_ask_for_nowcasts_may_send(gateway, feed, context):
    keys = ApiKeys(context.ledger.engine)
    key, secret = keys.create("reader", [Scope.READ])
    try:
        body = send(gateway, ("a.npz", b"x"), Authorization=f"Bearer {secret}")[1]
        assert body["type"] == "/problems/insufficient-scope"
    finally:
        keys.revoke(key.id)
