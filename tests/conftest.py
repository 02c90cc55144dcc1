"""Fixtures that every part's tests share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service import cli
from service.embedded import find_redis_server
from tests.patience import wait_until

PROJECT = Path(__file__).resolve().parent.parent

if "PYTEST_XDIST_WORKER" in os.environ:  # the other processes of this run have the other cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that runs this in the background ignores Ctrl-C for it, and every child would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's root folder."""
    return PROJECT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real radar data: `ECHOCAST_REAL_DATA`, or `../shared/data` beside the project. Skips where absent."""
    named = os.environ.get("ECHOCAST_REAL_DATA")
    folder = Path(named) if named else PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real radar data: ECHOCAST_REAL_DATA is {named!r}, and {folder} is not a folder")
    return folder


@pytest.fixture(autouse=True, scope="session")
def _no_data_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Packages and aliases in the user's own data folder are none of the tests' business."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("home")))
        for name in ("ECHOCAST_PACKAGES", "ECHOCAST_DATA_DIR"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def echocast(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Exit code, stdout and stderr of `echocast WORDS`, run in this process."""
    monkeypatch.setenv("ECHOCAST_THREADS", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("PYTHONSAFEPATH", "1")  # main() sets it: this removes it from the test process afterwards

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["echocast", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """URL of a real Redis."""
    path = tmp_path / "redis.sock"
    command = [find_redis_server(), "--port", "0", "--unixsocket", path, "--save", "", "--dir", tmp_path]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_until(path.exists, "Redis")
        yield f"redis+socket://{path}"
    finally:
        process.kill()
        process.wait()
