"""`echocast keys`, and the service that refuses to start without a key."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from service.jobs.api_keys import ApiKeys
from service.jobs.ledger import Ledger
from service.settings import Settings
from tests.patience import WAIT_SECONDS


def test_a_key_is_printed_once_listed_and_revoked(echocast, tmp_path):
    code, secret, told = echocast("keys", "create", "flood-duty", "--data-dir", tmp_path)
    assert code == 0
    assert re.fullmatch(r"echocast_[0-9a-f]{48}\n", secret), "the key alone, for KEY=$(echocast keys create ...)"
    assert "nowcast, read, until 20" in told
    code, listed, _ = echocast("keys", "list", "--data-dir", tmp_path)
    assert code == 0
    [row] = listed.splitlines()[1:]
    key_id = row.split()[0]
    assert row.split()[:5] == [key_id, "flood-duty", "nowcast", "read", "valid"]
    assert secret.strip() not in listed
    assert key_id in told
    code, out, _ = echocast("keys", "revoke", key_id, "--data-dir", tmp_path)
    assert (code, out) == (0, f"Key {key_id} of flood-duty is revoked.\n")
    assert " revoked " in echocast("keys", "list", "--data-dir", tmp_path)[1]


def test_keys_as_json(echocast, tmp_path):
    words = ("--scope", "admin", "--days", "0", "--max-running-jobs", "2", "--requests-per-second", "1.5")
    made = json.loads(echocast("keys", "create", "ops", *words, "--json", "--data-dir", tmp_path)[1])
    ledger = Ledger(Settings(data_dir=tmp_path).database)
    key = ApiKeys(ledger.engine).find(made.pop("key"))
    ledger.close()
    assert key is not None
    assert (
        made["quota"]
        == vars(key.quota)
        == {
            "max_queued_jobs": None,
            "max_running_jobs": 2,
            "requests_per_second": 1.5,
            "bytes_per_day": None,
        }
    )
    assert (made["client"], made["scopes"], made["expires"], made["state"]) == ("ops", ["admin"], None, "valid")
    listed = json.loads(echocast("keys", "list", "--json", "--data-dir", tmp_path)[1])
    assert listed == {"keys": [made]}
    revoked = json.loads(echocast("keys", "revoke", made["id"], "--json", "--data-dir", tmp_path)[1])
    assert revoked["state"] == "revoked"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("create", "Flood Duty"), "a client cannot be named 'Flood Duty'"),
        (("create", "ops", "--scope", "all"), "'all' is not one of 'read', 'nowcast', 'admin'"),
        (("revoke", "nope"), "no key 'nope'"),
    ],
)
def test_what_cannot_be_done_is_one_line(echocast, tmp_path, words, told):
    code, out, err = echocast("keys", *words, "--data-dir", tmp_path)
    assert (code, out) == (2, "")
    assert told in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("access", "host", "where"), [("auto", "0.0.0.0", "ECHOCAST_HOST"), ("keys", "127.0.0.1", "ECHOCAST_ACCESS")]
)
def test_serve_refuses_to_start_where_it_would_be_open_to_others(tmp_path, access, host, where):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ECHOCAST_")}
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "serve", "--host", host, "--port", "0", "--data-dir", str(tmp_path)],
        env={**environment, "ECHOCAST_ACCESS": access},
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"echocast: {where}: ")
    for way_out in ("echocast keys create", "127.0.0.1", "ECHOCAST_ACCESS=open"):
        assert way_out in last
