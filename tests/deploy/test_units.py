"""The systemd units: what they start, what they may do, and that systemd understands every line."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from service.cli import COMMANDS
from tests.patience import WAIT_SECONDS

UNITS = {
    "echocast.service": 2.0,
    "echocast-worker@.service": 2.0,
    "echocast-beat.service": 2.0,
    "echocast-subscribe.service": 2.0,
}
"""The exposure that `systemd-analyze security` may find: 0 is none, 10 is a service without any protection."""


@pytest.fixture(params=UNITS)
def unit(request: pytest.FixtureRequest, project: Path) -> Path:
    return project / "deploy" / request.param


def test_they_start_existing_commands_and_not_as_root(unit: Path) -> None:
    text = unit.read_text()
    assert re.findall(r"^ExecStart=/opt/echocast/bin/echocast (\w+)(?: \w+)?$", text, flags=re.MULTILINE)[0] in COMMANDS
    assert "User=echocast\n" in text
    assert {path.name for path in unit.parent.glob("*.service")} == set(UNITS)


def test_every_setting_reaches_them(unit: Path) -> None:
    """systemd lets variables of a file replace those of the unit."""
    assert re.search(r"^EnvironmentFile=-?/etc/echocast.env$", unit.read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("name", ["echocast.service", "echocast-worker@.service"])
def test_units_that_publish_feeds_may_write_beside_the_frames(project: Path, name: str) -> None:
    text = (project / "deploy" / name).read_text()
    assert "ProtectSystem=strict" in text
    [folder] = re.findall(r"^ReadWritePaths=-(/\S+)$", text, flags=re.MULTILINE)
    readme = (project / "deploy" / "README.md").read_text()
    assert f"`{folder}`" in readme
    assert "`ReadWritePaths=`" in readme


def test_a_worker_that_is_killed_for_its_memory_does_not_end_the_service(project: Path) -> None:
    for name in ("echocast.service", "echocast-worker@.service"):
        text = (project / "deploy" / name).read_text()
        assert "OOMPolicy=continue" in text
        assert "MemoryMax=" in text
        assert "TasksMax=" in text


def test_the_process_that_reads_files_may_confine_itself_further(project: Path) -> None:
    """Calls that are refused fail with EPERM, and those of seccomp and Landlock are not refused."""
    for name in ("echocast.service", "echocast-worker@.service"):
        text = (project / "deploy" / name).read_text()
        assert "SystemCallErrorNumber=EPERM" in text
        assert "SystemCallFilter=seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self" in text


def test_systemd_understands_them_and_finds_little_exposure(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    installed = tmp_path / unit.name
    installed.write_text(re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE))
    threshold = str(int(10 * UNITS[unit.name]))
    for command in (["verify"], ["security", "--offline=true", f"--threshold={threshold}", "--no-pager"]):
        done = subprocess.run(
            ["systemd-analyze", *command, str(installed)],
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
