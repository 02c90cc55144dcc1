"""Frames that a real broker announces, and what of a notification is not believed."""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from service.api.feeds.edr.asyncapi import PAYLOAD
from service.feeds.config import Feed
from service.feeds.tables import FileState, shown_name
from service.jobs.job import JobStatus, Problem
from service.store import result_key
from tests.patience import WAIT_SECONDS, wait_until
from workers.batch import run
from workers.context import WorkerContext
from workers.feeds.backfill import repeat_run
from workers.feeds.mqtt.notification import BadNotification, parse_notification
from workers.feeds.mqtt.subscriber import receive, subscribe
from workers.feeds.published import follow_up
from workers.feeds.scan import scan


@pytest.fixture
def feed_keys() -> dict[str, object]:
    return {"clock": "frames", "steps": 2}


@pytest.fixture(autouse=True)
def _no_queue(context: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context.queue, "enqueue", lambda *_: False)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder whose files a web server offers, and the server's host and port."""
    folder = tmp_path / "offered"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            if self.path.startswith("/moved/"):
                self.send_response(302)
                self.send_header("Location", self.path.removeprefix("/moved"))
                self.end_headers()
            else:
                super().do_GET()

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield folder, f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real mosquitto; skips where it is not installed."""
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("mosquitto is not installed (Debian: apt install mosquitto)")
    folder = tmp_path_factory.mktemp("mosquitto")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen([program, "-c", str(folder / "mosquitto.conf")], stdout=log, stderr=log) as process,
    ):

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        try:
            wait_until(listens, "mosquitto")
            yield f"mqtt://127.0.0.1:{port}"
        finally:
            process.terminate()


def source(url: str, host: str) -> dict[str, Any]:
    """Notifications as the source of the feed: its keys."""
    return {"folder": None, "mqtt": {"url": url, "topic": "ORD/eu.eumetnet/+/DBZH", "hosts": [host]}}


def notification(address: str, data: bytes | None = None, rel: str = "canonical") -> bytes:
    properties: dict[str, Any] = {"data_id": "d", "pubtime": "2026-06-01T12:01:00Z"}
    if data is not None:
        value = base64.b64encode(hashlib.sha512(data).digest()).decode()
        properties["integrity"] = {"method": "sha512", "value": value}
    message = {"type": "Feature", "geometry": None, "properties": properties, "links": [{"rel": rel, "href": address}]}
    return json.dumps(message).encode()


def states(context: WorkerContext) -> dict[str, FileState]:
    return {shown_name(file.name): file.state for file in context.feed_ledger.newest_files("north", 20)}


def test_frames_that_a_broker_announces_are_fetched_and_forecast(
    lab, broker: str, files: tuple[Path, str], configure: Callable[..., Feed], context: WorkerContext
) -> None:
    from paho.mqtt import publish

    folder, host = files
    configure(**source(broker, host))
    stop = threading.Event()
    thread = threading.Thread(target=subscribe, args=(context, (), stop))
    thread.start()
    try:
        for n, rel in enumerate(("item", "canonical")):
            path = lab.write_frames(folder / f"f{n}.npz", first=n)
            payload = notification(f"http://{host}/f{n}.npz", path.read_bytes(), rel)

            def announced(payload: bytes = payload, n: int = n) -> bool:
                """Announce the file, again where nobody was subscribed yet: it is received once."""
                address = broker.removeprefix("mqtt://").split(":")
                topic = "ORD/eu.eumetnet/0-20010-0-OPERA/DBZH"
                publish.single(topic, payload, qos=1, hostname=address[0], port=int(address[1]))
                return f"f{n}.npz" in states(context)

            wait_until(announced, f"f{n}.npz")
    finally:
        stop.set()
        thread.join(WAIT_SECONDS)
    scan(context)
    assert states(context) == {"f0.npz": FileState.ACCEPTED, "f1.npz": FileState.ACCEPTED}
    [job] = lab.jobs(context.ledger)
    assert [item["name"] for item in job.inputs] == ["f0.npz", "f1.npz"]


def test_what_is_announced_wrongly_is_refused_and_told(
    lab, files: tuple[Path, str], configure: Callable[..., Feed], context: WorkerContext
) -> None:
    folder, host = files
    feed = configure(**source("mqtt://127.0.0.1:1", host))
    assert feed.mqtt is not None
    lab.write_frames(folder / "f0.npz")
    for payload in (
        b"no json",
        notification(f"http://{host}/f0.npz", b"another content"),
        notification("http://169.254.169.254/secret.npz"),
        notification(f"http://{host}/moved/f0.npz"),
        notification(f"http://{host}/missing.npz"),
        notification("file:///etc/passwd"),
        notification(f"http://{host}/gone.npz", rel="deletion"),
    ):
        receive(payload, feed, feed.mqtt, context)
    found = {shown_name(file.name): file for file in context.feed_ledger.newest_files("north", 20)}
    assert {file.state for file in found.values()} == {FileState.UNREADABLE}
    assert sorted(found) == ["f0.npz", "missing.npz", "notification", "passwd", "secret.npz"]
    assert "not fetched from http://169.254.169.254. Add the host" in found["secret.npz"].reason
    assert context.feed_ledger.received_files("north") == []


def test_small_files_stand_in_the_notification() -> None:
    message = json.loads(notification("https://example.org/a%20b.h5?x=1"))
    message["properties"]["content"] = {"encoding": "base64", "size": 3, "value": base64.b64encode(b"abc").decode()}
    parsed = parse_notification(json.dumps(message).encode())
    assert parsed is not None
    assert (parsed.name, parsed.content) == ("a b.h5", b"abc")


@pytest.mark.parametrize(
    "payload",
    [
        *(b"\xff", b"[]", b"{}", b'{"links": 3}', b'{"links": [{"rel": []}]}', b"x" * 70_000),
        notification("https://h/f").replace(
            b'"data_id"', b'"integrity": {"method": "sha512", "value": "!"}, "data_id"'
        ),
    ],
    ids=["bytes", "list", "nothing", "links", "relation", "long", "digest"],
)
def test_what_is_no_notification_is_refused(payload: bytes) -> None:
    with pytest.raises(BadNotification):
        parse_notification(payload)


@pytest.fixture
def announced(
    lab, broker: str, folder: Path, configure: Callable[..., Feed], context: WorkerContext
) -> dict[str, list[dict[str, Any]]]:
    """What a subscriber got, by topic, of a nowcast, and of that after its frame was issued again."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    common = {"url": broker, "public_url": "https://nowcasts.example.org/"}
    wis2 = {**common, "topic": "origin/a/wis2/nowcast", "metadata_id": "urn:wmo:md:fi-example:nowcast"}
    configure(wis2=wis2, edr=common)
    messages: dict[str, list[dict[str, Any]]] = {}
    subscribed = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _, __, got: messages.setdefault(got.topic, []).append(json.loads(got.payload))
    host, port = broker.removeprefix("mqtt://").split(":")
    client.connect(host, int(port))
    client.subscribe([("origin/#", 1), ("collections/#", 1)])
    client.loop_start()
    try:
        assert subscribed.wait(WAIT_SECONDS)
        lab.write_frames(folder / "f0.npz", count=3)
        for rain in (8, 20):  # the frame is issued again
            if rain == 20:
                lab.write_frames(folder / "f1.npz", first=2, rain=rain)
            scan(context)
            [job] = lab.jobs(context.ledger, JobStatus.ACCEPTED)
            if rain == 8:  # the run fails, and the operator asks for it again
                claimed = context.ledger.claim(job.id, 60)
                assert claimed is not None
                problem = Problem(code="time-limit", what="it took too long", where="worker", hint="Ask for less")
                context.ledger.fail(claimed, problem)
                repeat_run("north", context.feed_ledger.runs("north")[0].reference_time, context)
                [job] = lab.jobs(context.ledger, JobStatus.ACCEPTED)
            run(job.id, context)
            follow_up("north", context)
        wait_until(lambda: [len(got) for got in messages.values()] == [2, 2], "two messages of each kind")
    finally:
        client.disconnect()
        client.loop_stop()
    return messages


def test_a_published_nowcast_is_announced_as_wis2_and_as_an_instance_of_edr(
    lab, announced: dict[str, list[dict[str, Any]]], context: WorkerContext
) -> None:
    newest = lab.jobs(context.ledger)[0]
    data = context.store.get(result_key(newest.id))
    first, again = announced["origin/a/wis2/nowcast"]
    assert first["conformsTo"] == ["http://wis.wmo.int/spec/wnm/1/conf/core"]
    assert first["properties"]["data_id"] == again["properties"]["data_id"] == "north/nowcast/20260601T121000Z.nc"
    assert [first["properties"][name] for name in ("start_datetime", "end_datetime", "metadata_id", "cache")] == [
        "2026-06-01T12:10:00Z",
        "2026-06-01T12:20:00Z",
        "urn:wmo:md:fi-example:nowcast",
        False,
    ]
    [link] = again["links"]
    assert ([each["rel"] for each in first["links"]], link["rel"]) == (["canonical"], "update")
    assert link["href"] == f"https://nowcasts.example.org/v1/nowcasts/{newest.id}/result?format=netcdf"
    assert link["length"] == len(data)
    assert base64.b64decode(again["properties"]["integrity"]["value"]) == hashlib.sha512(data).digest()
    [ring] = first["geometry"]["coordinates"]
    assert ring[0] == ring[-1]
    assert {round(abs(degrees), 1) for place in ring for degrees in place} == {0.2}, "48 km around 0 N 0 E"

    made, updated = announced["collections/north/instances"]
    for message in (made, updated):
        Draft202012Validator(PAYLOAD, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(message)
    assert made["id"] != updated["id"]
    assert [message["properties"]["operation"] for message in (made, updated)] == ["create", "update"]
    instance = "https://nowcasts.example.org/edr/collections/north/instances/2026-06-01T12:10:00Z"
    assert made["properties"]["resourceId"] == updated["properties"]["resourceId"] == instance
    links = {each["rel"]: each for each in updated["links"]}
    assert (links["item"]["href"], links["canonical"]) == (instance, {**link, "rel": "canonical"})
