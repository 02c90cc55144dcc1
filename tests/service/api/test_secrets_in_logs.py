"""Nothing secret in logs: neither the key of a request nor the passwords of the settings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import httpx

from service.jobs.api_keys import ApiKeys, Scope
from service.jobs.ledger import Ledger
from service.settings import Settings
from tests.patience import WAIT_SECONDS, wait_until


def test_no_log_has_a_key(tmp_path):
    settings = Settings(data_dir=tmp_path)
    ledger = Ledger(settings.database)
    _, secret = ApiKeys(ledger.engine).create("a", [Scope.READ])
    ledger.close()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ECHOCAST_")}
    more = {"ECHOCAST_LOG_LEVEL": "DEBUG", "ECHOCAST_BROKER_URL": "redis://:hidden-word@127.0.0.1:1/0"}
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve", "--port", "0", "--data-dir", str(tmp_path)],
            stderr=file,
            stdout=file,
            env={**environment, **more},
        )
    try:
        wait_until(lambda: "Echocast serves" in log.read_text() or process.poll() is not None, "the gateway")
        [url] = [word for word in log.read_text().split() if word.startswith("http://")]
        for sent in (secret, secret + "0", "Basic " + secret):
            credentials = sent if " " in sent else f"Bearer {sent}"
            headers = {"Authorization": credentials}
            paths = ("/v1/models", "/v1/nowcasts/none", "/readyz", "/metrics", "/nothing")
            answers = [httpx.get(url + path, headers=headers, timeout=WAIT_SECONDS) for path in paths]
            answers.append(httpx.post(f"{url}/v1/nowcasts", headers=headers, timeout=WAIT_SECONDS))
            assert not [answer.url for answer in answers if secret in answer.text or "hidden-word" in answer.text]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(WAIT_SECONDS)
    assert secret not in log.read_text()
    assert "hidden-word" not in log.read_text()
