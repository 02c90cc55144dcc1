"""The operator over HTTP: how the service does, the champion by its gates, and keys. Changes need a key."""

import logging
import shutil
from datetime import timedelta

import pytest
from sqlalchemy import delete

from service.api.app import create_app
from service.api.models import worker_load
from service.feeds.tables import FeedFrame, FileState
from service.jobs.api_keys import ApiKeys, Scope
from service.jobs.database import writing
from service.settings import Settings
from tests.packages import GRAPH, SHIPPED_REFERENCE, copied, damage
from tests.service.api.conftest import NO_REDIS, served
from tests.service.operated import EXTRAPOLATION, FEED, NOON, operated_service


@pytest.fixture(scope="module")
def operated(stack, tmp_path_factory):
    """The gateway, with a good, a bad and a broken candidate, and their live skill."""
    with operated_service(stack, tmp_path_factory.mktemp("operated")) as made:
        for name in ("good", "bad", "broken", "new"):
            copied(made.packages, f"{name}@1")
        damage(made.packages / "broken" / "1" / GRAPH)
        for model, hits in (
            ("good@1", 70),
            ("bad@1", 40),
            ("broken@1", 70),
            (SHIPPED_REFERENCE, 60),
            (EXTRAPOLATION, 50),
        ):
            made.score(model, hits)
        yield made
    shutil.rmtree(made.packages)


@pytest.fixture
def no_champion(operated):
    yield
    while operated.ask("POST", "/v1/models/champion/rollback")[0] == 200:
        pass


def promote(operated, name, **more):
    return operated.ask("POST", f"/v1/models/{name}/promote", {"version": "1", "feed": "north", **more})


def champion(operated):
    return operated.ask("GET", "/v1/champion")[1]


def lines(caplog):
    return [record.message.split(": ", 1)[1] for record in caplog.records if record.name == "service.api.audit"]


def test_an_open_service_is_read_and_not_changed(gateway, context):
    overview = gateway.get("/v1/overview").json()
    assert overview["operator"] == {"client": "anonymous", "key_id": None, "may_change": False}
    for path, body in (
        ("/v1/keys", {"client": "me", "scopes": ["admin"]}),
        ("/v1/models/persistence/promote", {"version": "1", "feed": "north"}),
        ("/v1/models/persistence/rollback", {}),
        ("/v1/feeds/north/scan", None),
    ):
        refused = gateway.post(path, json=body)
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems/open-service")
        assert "echocast keys create NAME --scope admin" in refused.json()["hint"]
    assert gateway.delete("/v1/keys/4d7f1451").json()["type"] == "/problems/open-service"
    assert gateway.get("/v1/keys").json() == {"keys": []}
    assert gateway.get("/v1/models").status_code == 200, "it is as open as before"


def test_a_model_whose_gates_let_it_pass_is_promoted_and_rolled_back(operated, no_champion, caplog):
    caplog.set_level(logging.INFO)
    status, tried = promote(operated, "good", dry_run=True)
    assert (status, tried["refusal"], tried["change"]) == (200, "", None)
    assert {(gate["gate"], gate["passed"]) for gate in tried["gates"]} == {("csi", True), ("extrapolation", True)}
    assert tried["gates"][0]["what"] == f"live CSI at 2 mm/h beside {SHIPPED_REFERENCE}"
    assert tried["gates"][0]["low"] > 0
    assert champion(operated)["champion"] is None
    status, made = promote(operated, "good", reason="the summer's data")
    assert (status, made["change"]["after"], made["change"]["by"]) == (200, "good@1", "ops")
    models = {model["name"]: model for model in operated.ask("GET", "/v1/models")[1]["models"]}
    assert (models["good"]["aliases"], models["good"]["default"]) == (["champion"], True)
    assert promote(operated, "good")[1]["refusal"] == "good@1 is already the champion"
    other = operated.ask("POST", "/v1/models/bad/rollback", {})
    assert (other[0], other[1]["what"]) == (409, "not rolled back: the champion is good@1")
    older = operated.ask("POST", "/v1/models/good/rollback", {"version": "2"})
    assert (older[0], older[1]["what"]) == (409, "not rolled back: the champion is good@1")
    status, back = operated.ask("POST", "/v1/models/good/rollback", {"version": "1", "reason": "misses hail"})
    assert (status, back["before"], back["after"]) == (200, "good@1", None)
    history = champion(operated)["history"]
    assert [(change["action"], change["reason"]) for change in history] == [
        ("rollback", "misses hail"),
        ("promote", "the summer's data"),
    ]
    assert history[1]["gates"] == made["gates"]
    assert lines(caplog) == [
        "promoted the champion from none to good@1",
        "rolled back the champion from good@1 to none",
    ]


def test_a_gate_refuses_in_the_words_of_the_command(operated, no_champion, caplog):
    caplog.set_level(logging.INFO)
    status, problem = promote(operated, "bad")
    assert (status, problem["type"]) == (409, "/problems/not-promoted")
    assert problem["what"].startswith("not promoted, 2 of the gates' comparisons refuse it: live CSI at 2 mm/h beside")
    assert promote(operated, "bad", dry_run=True)[1]["refusal"] == problem["what"]
    assert promote(operated, "bad", force=True)[1]["type"] == "/problems/invalid-parameter"
    assert champion(operated)["champion"] is None
    status, forced = promote(operated, "bad", force=True, reason="for the exercise")
    assert (status, forced["change"]["forced"]) == (200, True)
    assert lines(caplog) == ["promoted the champion from none to bad@1, against the gates: for the exercise"]


def test_what_cannot_be_promoted_says_why(operated):
    status, broken = promote(operated, "broken", force=True, reason="in a hurry")
    assert (status, broken["type"]) == (409, "/problems/not-promoted")
    assert broken["what"].startswith("not promoted, as a worker cannot load it: ")
    assert promote(operated, "new")[1]["what"] == "no forecast of 'new@1' was scored in this window"
    assert promote(operated, "persistence")[1]["what"].startswith("a baseline needs no promotion")
    assert promote(operated, "nobody")[0] == 404
    assert promote(operated, "good", feed="atlantis")[1]["type"] == "/problems/no-such-feed"
    assert operated.ask("POST", "/v1/models/champion/rollback")[1]["what"].startswith("no model was promoted")
    assert champion(operated) == {
        "champion": None,
        "runs": SHIPPED_REFERENCE,
        "note": "",
        "aliases": {},
        "before": None,
        "history": champion(operated)["history"],
    }


def test_a_key_is_shown_once_and_revoked(operated, caplog):
    caplog.set_level(logging.INFO)
    status, made = operated.ask("POST", "/v1/keys", {"client": "flood-duty", "scopes": ["read"], "days": 0})
    assert (status, made["scopes"], made["expires"]) == (201, ["read"], None)
    assert operated.ask("GET", "/v1/feeds", who=made["key"])[0] == 200
    status, listed = operated.ask("GET", "/v1/keys")
    assert listed["keys"][0]["client"] == "flood-duty"
    assert made["key"] not in str(listed)
    assert operated.ask("GET", "/v1/keys", who=made["key"])[1]["type"] == "/problems/insufficient-scope"
    assert operated.ask("DELETE", f"/v1/keys/{made['id']}")[1]["state"] == "revoked"
    assert operated.ask("GET", "/v1/feeds", who=made["key"])[0] == 401
    assert operated.ask("POST", "/v1/keys", {"client": "Flood Duty"})[1]["type"] == "/problems/invalid-key"
    assert operated.ask("DELETE", "/v1/keys/none")[1]["type"] == "/problems/no-such-key"
    assert lines(caplog) == [f"created key {made['id']} of flood-duty: read", f"revoked key {made['id']} of flood-duty"]
    assert made["key"] not in caplog.text


def test_the_overview_tells_what_is_wrong_with_a_feed(operated):
    operated.arrive(-5)
    operated.run(0)
    operated.run(5, {"code": "time-limit", "what": "it took longer than 600 s", "where": "worker", "hint": "h"})
    operated.refuse("x.h5", "RasterioIOError: '/home/secret/x.h5'")
    operated.refuse("y.h5", "its frame is ahead of the clock", FileState.REFUSED)
    problem = {"code": "source-unavailable", "what": "the folder cannot be read", "where": "/radar/north", "hint": "h"}
    operated.context.feed_ledger.record_scan("north", problem)
    feeds_file = operated.context.settings.feeds_path
    good = feeds_file.read_text()
    feeds_file.write_text(good + '[[feed]]\nname = "south"\n')
    status, overview = operated.ask("GET", "/v1/overview")
    feeds_file.write_text(good)
    assert (status, overview["operator"]["may_change"]) == (200, True)
    assert {part["name"] for part in overview["parts"]} >= {"ledger", "broker", "workers"}
    [feed] = overview["feeds"]
    assert (feed["feed"]["name"], feed["source"], feed["rejected_files"], feed["failed_runs"]) == (
        "north",
        "folder",
        2,
        1,
    )
    assert {(each["kind"], each["name"], each["reason"]) for each in feed["troubles"]} == {
        ("failed", "2026-06-01T12:05:00Z", "it took longer than 600 s"),
        ("unreadable", "x.h5", "RasterioIOError: 'x.h5'"),
        ("refused", "y.h5", "its frame is ahead of the clock"),
    }
    assert feed["problem"]["what"] == "the folder cannot be read"
    assert 0 <= feed["lag_seconds"] < 60
    assert overview["queue"]["failed"] == 1
    assert "it has one source" in overview["configuration"][0]["what"]
    assert "secret" not in str(overview)


def test_a_scan_is_asked_for_and_the_list_tells_whose_nowcast_it_is(operated):
    assert operated.ask("POST", "/v1/feeds/north/scan") == (202, {"feed": "north", "asked": True})
    nowcasts = operated.ask("GET", "/v1/nowcasts?limit=1")[1]["nowcasts"]
    assert [(nowcast["feed"], nowcast["client"]) for nowcast in nowcasts] == [("north", "anonymous")]
    assert operated.ask("GET", "/v1/overview", who=operated.reader)[1]["type"] == "/problems/insufficient-scope"


def test_a_run_that_failed_is_made_again(operated, caplog):
    caplog.set_level(logging.INFO)
    operated.run(20)
    for minutes in (25, 26):
        operated.run(minutes, {"code": "time-limit", "what": "it took too long", "where": "worker", "hint": "h"})
    path = "/v1/feeds/north/runs/2026-06-01T12:{}:00Z/repeat"
    status, run = operated.ask("POST", path.format(25))
    assert (status, run["status"]) == (202, "failed")
    assert lines(caplog) == ["asked for the run of feed north from 2026-06-01T12:25:00Z again"]
    status, problem = operated.ask("POST", path.format(20))
    assert (status, problem["what"]) == (409, "the run from 2026-06-01T12:20:00Z is successful")
    assert operated.ask("POST", path.format(22))[1]["type"] == "/problems/no-such-run"
    with writing(operated.context.ledger.engine) as session:
        session.execute(delete(FeedFrame).where(FeedFrame.valid_time == NOON + timedelta(minutes=26)))
    status, problem = operated.ask("POST", path.format(26))
    assert (status, problem["what"]) == (404, "the frame from 2026-06-01T12:26:00Z is no longer kept")


@pytest.mark.parametrize("broker", ["none", "no worker"])
def test_without_a_worker_nothing_is_promoted(tmp_path, redis_url, monkeypatch, broker):
    monkeypatch.setattr(worker_load, "WAIT_SECONDS", 0.5)
    settings = Settings(data_dir=tmp_path / "data", broker_url=NO_REDIS if broker == "none" else redis_url)
    package = copied(settings.packages_folder, "good@1")
    settings.feeds_path.write_text(FEED)
    app = create_app(settings)
    _, admin = ApiKeys(app.state.context.ledger.engine).create("ops", [Scope.ADMIN])
    body = {"version": "1", "feed": "north", "force": True, "reason": "in a hurry"}
    with served(app) as client:
        path = "/v1/models/good/promote"
        answer = client.post(path, json=body, headers={"Authorization": f"Bearer {admin}"})
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
    assert answer.json()["type"] == ("/problems/broker-unavailable" if broker == "none" else "/problems/busy")
    assert not (package.parent.parent / "aliases.json").exists()
