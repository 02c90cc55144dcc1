"""A feed of a real service: frames are sent over HTTP, and a nowcast follows at once."""

import io

import httpx
import numpy as np
import pytest

from tests.patience import WAIT_SECONDS, wait_until


@pytest.fixture
def feed(stack):
    """The feed `sent` of the service; its scans on schedule are a minute apart."""
    path = stack.data_dir / "feeds.toml"
    path.write_text(
        '[[feed]]\nname = "sent"\npush = true\nclock = "frames"\n'
        'model = "extrapolation"\nsteps = 2\nprobabilities = []\n'
    )
    yield "/v1/feeds/sent"
    path.unlink()


def frames(first):
    content = io.BytesIO()
    times = np.datetime64("2026-06-01T12:00:00") + np.arange(first, first + 2) * np.timedelta64(300, "s")
    np.savez(content, rain_rate=np.full((2, 32, 32), 4, np.float32), times=times)
    return content.getvalue()


def test_frames_that_are_sent_are_read_and_forecast_at_once(stack, feed):
    with httpx.Client(base_url=stack.url, timeout=WAIT_SECONDS) as client:
        for first, newest in ((0, "12:05"), (2, "12:15")):
            files = {"files": ("frames.npz", frames(first))}
            sent = client.post(f"{feed}/frames", files=files, headers={"Prefer": "wait=60"})
            assert sent.status_code == 200, sent.text
            assert [file["state"] for file in sent.json()["files"]] == ["accepted"]

            def published(newest=newest):
                latest = client.get(f"{feed}/latest")
                return latest.status_code == 200 and latest.json()["reference_time"][11:16] == newest

            wait_until(published, "the nowcast")

        def runs():
            return {run["reference_time"][11:16]: run["status"] for run in client.get(feed).json()["runs"]}

        wait_until(lambda: runs() == dict.fromkeys(("12:05", "12:10", "12:15"), "successful"), "all nowcasts")
        assert client.get(feed).json()["status"] == "ok"
