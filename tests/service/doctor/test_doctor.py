"""`echocast doctor` on installations that are really broken, each in one way."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from service.embedded import find_redis_server
from service.jobs.api_keys import ApiKeys, Scope
from service.jobs.ledger import Ledger
from tests.packages import copied, crown, damage
from tests.patience import WAIT_SECONDS, wait_until
from tests.service.api.issuer import served_issuer

Doctor = Callable[..., tuple[int, list[dict[str, str]]]]

LIGHT = """
import sys
from service.doctor import cli
cli.CHECKS = [check for check in cli.CHECKS if check.part != "device"]
from service.cli import main
main()
"""
"""`echocast` without the check of the device, which loads a network."""


def run(tmp_path: Path, *words: str, program: str = LIGHT, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ECHOCAST_")}
    return subprocess.run(
        [sys.executable, "-c", program, "doctor", *words],
        env={**clean, "ECHOCAST_DATA_DIR": str(tmp_path / "data"), **environment},
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    """Exit code and findings of `echocast doctor --json`."""

    def examine(**options: str) -> tuple[int, list[dict[str, str]]]:
        done = run(tmp_path, "--json", **options)
        assert done.stderr == ""
        result: dict[str, Any] = json.loads(done.stdout)
        assert (result["state"] == "bad") == (done.returncode == 1)
        return done.returncode, result["findings"]

    return examine


def found(findings: list[dict[str, str]], part: str, state: str) -> str:
    """What the findings of a part in a state say, with their hints; each that is not ok has one."""
    chosen = [finding for finding in findings if (finding["part"], finding["state"]) == (part, state)]
    assert chosen, findings
    assert all(finding["hint"] for finding in chosen if state != "ok")
    return "\n".join(f"{finding['what']} | {finding['hint']}" for finding in chosen)


@pytest.fixture
def redis_port(tmp_path: Path) -> Iterator[int]:
    """The port of a Redis with the password `secret`, and with a policy that drops keys."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    options = ["--port", str(port), "--bind", "127.0.0.1", "--requirepass", "secret", "--save", ""]
    server = subprocess.Popen(
        [find_redis_server(), *options, "--maxmemory-policy", "allkeys-lru", "--dir", tmp_path],
        stdout=subprocess.DEVNULL,
    )

    def answers() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    wait_until(answers, "Redis")
    yield port
    server.terminate()
    server.wait(WAIT_SECONDS)


def test_a_new_installation_is_fine_and_stays_untouched(tmp_path: Path) -> None:
    """The only warning is that nothing runs yet; the network makes a small forecast in a process of its own."""
    done = run(tmp_path, program="from service.cli import main; main()")
    assert done.returncode == 0, done.stdout
    assert "made a forecast: " in done.stdout
    assert "0 bad, 1 warnings" in done.stdout
    assert "echocast serve does not run" in done.stdout
    assert not (tmp_path / "data").exists()


def test_wrong_usage_is_none_of_its_findings(tmp_path: Path) -> None:
    assert run(tmp_path, "--jsn").returncode == 2


def test_bad_values_and_misspelt_names_are_named_with_the_right_ones(doctor: Doctor) -> None:
    code, findings = doctor(
        ECHOCAST_PORT="many", ECHOCAST_DEVICE="tpu", ECHOCAST_MAX_UPLAOD_MB="9", ECHOCAST_COLOUR="blue"
    )
    assert code == 1
    bad = found(findings, "settings", "bad")
    assert "ECHOCAST_PORT is 'many'" in bad
    assert "ECHOCAST_DEVICE is 'tpu'" in bad
    assert "Did you mean ECHOCAST_MAX_UPLOAD_MB?" in bad
    assert "ECHOCAST_COLOUR" in found(findings, "settings", "warning")
    assert found(findings, "packages", "ok"), "the other checks run with the defaults"


def test_a_port_that_kubernetes_has_set_is_recognised(doctor: Doctor) -> None:
    _, findings = doctor(ECHOCAST_PORT="tcp://10.3.0.7:8000")
    assert "enableServiceLinks: false" in found(findings, "settings", "bad")


def test_all_that_is_down_is_named_without_passwords(doctor: Doctor) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        code, findings = doctor(
            ECHOCAST_BROKER_URL=f"redis://:hunter2@127.0.0.1:{port}/0",
            ECHOCAST_DATABASE_URL=f"postgresql://echocast:hunter2@127.0.0.1:{port}/echocast",
        )
    assert code == 1
    assert "Start Redis" in found(findings, "broker", "bad")
    assert "Start the database" in found(findings, "ledger", "bad")
    assert "hunter2" not in json.dumps(findings)


def test_a_ledger_of_a_newer_version_is_not_touched(tmp_path: Path, doctor: Doctor) -> None:
    path = tmp_path / "data" / "ledger.sqlite"
    Ledger(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    code, findings = doctor()
    assert code == 1
    assert "9999" in found(findings, "ledger", "bad")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.close()
    code, findings = doctor()
    assert code == 0
    assert "migration 0001" in found(findings, "ledger", "warning")


def test_a_ledger_that_is_no_database_is_named(tmp_path: Path, doctor: Doctor) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ledger.sqlite").write_bytes(b"not a database" * 1000)
    code, findings = doctor()
    assert code == 1
    assert "restore it from a backup" in found(findings, "ledger", "bad")


def test_redis_with_another_password_and_a_policy_that_drops_the_queue(doctor: Doctor, redis_port: int) -> None:
    code, findings = doctor(ECHOCAST_BROKER_URL=f"redis://:wrong@127.0.0.1:{redis_port}/0")
    assert code == 1
    assert "Put the password into ECHOCAST_BROKER_URL" in found(findings, "broker", "bad")
    code, findings = doctor(ECHOCAST_BROKER_URL=f"redis://:secret@127.0.0.1:{redis_port}/0")
    assert code == 1
    assert "allkeys-lru" in found(findings, "broker", "warning")
    assert "agrees with Redis" in found(findings, "clock", "ok")
    assert "no worker is alive" in found(findings, "workers", "bad")
    assert "no beat is alive" in found(findings, "beat", "bad")
    with Redis(port=redis_port, password="secret") as redis:
        redis.replicaof("127.0.0.1", str(redis_port))
    _, findings = doctor(ECHOCAST_BROKER_URL=f"redis://:secret@127.0.0.1:{redis_port}/0")
    assert "read-only replica" in found(findings, "broker", "bad")


def test_a_bucket_that_does_not_answer_holds_nothing_up(doctor: Doctor) -> None:
    """A server that accepts connections and says nothing: the client of the store would wait for minutes."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        program = LIGHT.replace(
            "from service.cli", "cli.CHECKS = [c._replace(seconds=2) for c in cli.CHECKS]\nfrom service.cli"
        )
        environment = {
            "AWS_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }
        code, findings = doctor(program=program, ECHOCAST_STORE_URL="s3://bucket", **environment)
    assert code == 1
    assert "no answer within 2 s" in found(findings, "store", "bad")


def test_a_damaged_champion_is_named_and_what_runs_in_its_place(tmp_path: Path, doctor: Doctor) -> None:
    package = copied(tmp_path / "data" / "packages", "my-radar@1")
    crown(package)
    _, findings = doctor()
    assert "my-radar@1 (champion)" in found(findings, "packages", "ok")
    damage(package / "model.int8.onnx")
    code, findings = doctor()
    assert code == 1
    assert "model.int8.onnx does not match its digest" in found(findings, "packages", "bad")
    (package / "manifest.json").write_text("{}")
    _, findings = doctor()
    assert "the champion my-radar@1 cannot be used" in found(findings, "packages", "warning")


def test_a_data_folder_below_a_file_and_few_open_files(tmp_path: Path, doctor: Doctor) -> None:
    (tmp_path / "file").touch()
    limits = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))\n"
    code, findings = doctor(ECHOCAST_DATA_DIR=str(tmp_path / "file" / "data"), program=limits + LIGHT)
    assert code == 1
    assert "cannot be made" in found(findings, "disk", "bad")
    assert "up to 256 open files" in found(findings, "limits", "warning")


def test_a_worker_whose_reads_may_take_more_than_the_memory_is_warned_of(doctor: Doctor) -> None:
    _, findings = doctor(ECHOCAST_READ_MEMORY_MB=str(10**7))
    assert "MB of memory" in found(findings, "limits", "warning")


def test_a_gateway_that_others_reach_needs_a_key(tmp_path: Path, doctor: Doctor) -> None:
    code, findings = doctor(ECHOCAST_HOST="0.0.0.0")
    assert code == 1
    assert "echocast keys create" in found(findings, "access", "bad")
    _, findings = doctor(ECHOCAST_HOST="0.0.0.0", ECHOCAST_ACCESS="open")
    assert "a proxy that authenticates" in found(findings, "access", "warning")
    ledger = Ledger(f"sqlite:///{tmp_path}/data/ledger.sqlite")
    soon = datetime.now(UTC) + timedelta(days=3)
    ApiKeys(ledger.engine).create("flood-duty", [Scope.READ], expires=soon)
    ledger.close()
    code, findings = doctor(ECHOCAST_HOST="0.0.0.0")
    assert code == 0
    assert "1 valid" in found(findings, "access", "ok")
    assert "flood-duty expires on" in found(findings, "access", "warning")


def test_an_issuer_of_tokens_is_asked_for_its_keys(doctor: Doctor) -> None:
    with served_issuer() as issuer:
        tokens = {"ECHOCAST_HOST": "0.0.0.0", "ECHOCAST_OIDC_ISSUER": issuer.url}
        code, findings = doctor(**tokens, ECHOCAST_OIDC_AUDIENCE="echocast")
        assert code == 0
        assert f"public keys of {issuer.url}: 1" in found(findings, "access", "ok")
        _, findings = doctor(**tokens)
        assert "ECHOCAST_OIDC_AUDIENCE" in found(findings, "access", "bad")
        issuer.documents.clear()
        code, findings = doctor(**tokens, ECHOCAST_OIDC_AUDIENCE="echocast")
        assert code == 1
        assert "no token can be verified" in found(findings, "access", "bad")


def test_a_feed_without_its_folder_is_named(tmp_path: Path, doctor: Doctor) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "feeds.toml").write_text('[[feed]]\nname = "north"\nfolder = "absent"\n')
    code, findings = doctor()
    assert code == 1
    assert "'north'" in found(findings, "feeds", "bad")


def test_a_running_service_is_well(stack, doctor: Doctor) -> None:
    """Worker and beat of `echocast serve` are alive, and found by its data folder alone."""

    def alive() -> bool:
        _, findings = doctor(ECHOCAST_DATA_DIR=str(stack.data_dir))
        return {finding["part"] for finding in findings if finding["state"] == "bad"} == set()

    wait_until(alive, "worker and beat")
    code, findings = doctor(ECHOCAST_DATA_DIR=str(stack.data_dir))
    assert code == 0
    assert found(findings, "workers", "ok")
    assert found(findings, "beat", "ok")
    assert "was written, read and deleted" in found(findings, "store", "ok")
    assert "migration" in found(findings, "ledger", "ok")


def test_a_device_that_ends_the_process_is_a_finding(tmp_path: Path) -> None:
    """ONNX Runtime that cannot be loaded, as with a wrong driver, ends the probe and not the doctor."""
    (tmp_path / "broken" / "onnxruntime").mkdir(parents=True)
    (tmp_path / "broken" / "onnxruntime" / "__init__.py").write_text("import os\nos.abort()\n")
    done = run(tmp_path, program="from service.cli import main; main()", PYTHONPATH=str(tmp_path / "broken"))
    assert done.returncode == 1
    assert "a small forecast ended with signal 6" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_webhooks_that_could_never_be_delivered(doctor: Doctor) -> None:
    assert "off" in found(doctor()[1], "webhooks", "ok")
    secret = {"ECHOCAST_WEBHOOK_SECRET": "0123456789abcdef0123456789abcdef"}
    code, findings = doctor(ECHOCAST_WEBHOOK_HOSTS="nowhere.invalid,localhost,*.example.org", **secret)
    assert code == 1
    assert "nowhere.invalid" in found(findings, "webhooks", "warning")
    assert "ECHOCAST_WEBHOOK_PRIVATE_HOSTS" in found(findings, "webhooks", "bad")
    assert "1 of 3 listed hosts" in found(findings, "webhooks", "ok")
    _, findings = doctor(ECHOCAST_WEBHOOK_PRIVATE_HOSTS="localhost:9000", **secret)
    assert "1 of 1 listed hosts" in found(findings, "webhooks", "ok")
    _, findings = doctor(ECHOCAST_WEBHOOK_HOSTS="hooks.example.org")
    assert "ECHOCAST_WEBHOOK_SECRET" in found(findings, "settings", "bad")
