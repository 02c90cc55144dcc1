"""The file of aliases: changes, history, simultaneous changes, and a damaged file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from model.core.aliases import (
    ALIASES,
    CHAMPION,
    LOCK,
    AliasChange,
    Aliases,
    BadAliases,
    PinnedVersion,
    change_alias,
    now_utc,
    read_aliases,
)
from model.core.errors import InputError
from tests.patience import WAIT_SECONDS

A, B, C = (PinnedVersion(model=f"mine@{version}", digest=str(version)) for version in (1, 2, 3))


def change(folder: Path, action: str, after: PinnedVersion | None, alias: str = CHAMPION) -> AliasChange:
    return change_alias(
        folder,
        lambda now: AliasChange(
            alias=alias, action=action, when=now_utc(), by="me", before=now.aliases.get(alias), after=after
        ),
    )


def test_champions_are_gone_back_through_in_the_order_of_their_promotions(tmp_path: Path) -> None:
    assert read_aliases(tmp_path) == Aliases()
    change(tmp_path, "promote", A)
    change(tmp_path, "promote", B)
    change(tmp_path, "alias", C, alias="challenger")
    assert read_aliases(tmp_path).champions() == [B, A]
    change(tmp_path, "rollback", A)
    change(tmp_path, "promote", C)
    known = read_aliases(tmp_path)
    assert known.champions() == [C, A]
    assert known.aliases == {CHAMPION: C, "challenger": C}
    assert [(entry.action, entry.before, entry.after) for entry in known.history][-2:] == [
        ("rollback", B, A),
        ("promote", A, C),
    ]
    change(tmp_path, "rollback", A)
    change(tmp_path, "rollback", None)
    assert read_aliases(tmp_path).champions() == []
    assert CHAMPION not in read_aliases(tmp_path).aliases


def test_simultaneous_changes_are_all_kept(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from model.core.aliases import *\n"
        "for n in range(10): change_alias(pathlib.Path(sys.argv[1]), lambda now: AliasChange(alias='challenger',"
        " action='alias', when=now_utc(), by=sys.argv[2], before=None, after=PinnedVersion(model='mine@1',"
        " digest=str(n))))"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    running = [subprocess.Popen([*command, str(number)]) for number in range(3)]
    assert [process.wait(WAIT_SECONDS) for process in running] == [0, 0, 0]
    history = read_aliases(tmp_path).history
    assert len(history) == 30
    for number in range(3):
        mine = [entry.after.digest for entry in history if entry.by == str(number) and entry.after]
        assert mine == [str(n) for n in range(10)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOCK, ALIASES]


@pytest.mark.parametrize("content", ["{", "[]", '{"schema_version": 2}', '{"aliases": {"champion": "mine"}}'])
def test_a_damaged_file_is_named_and_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / ALIASES).write_text(content)
    with pytest.raises(BadAliases, match=r"aliases\.json: the aliases are damaged .* promote a model again"):
        change(tmp_path, "promote", A)
    assert (tmp_path / ALIASES).read_text() == content


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / LOCK).mkdir()
    with pytest.raises(InputError, match=r"cannot be written .* --packages"):
        change(tmp_path, "promote", A)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        change(tmp_path / "file" / "packages", "promote", A)


def test_a_move_that_is_refused_changes_nothing(tmp_path: Path) -> None:
    change(tmp_path, "promote", A)
    before = (tmp_path / ALIASES).read_bytes()

    def refuse(now: Aliases) -> AliasChange:
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        change_alias(tmp_path, refuse)
    assert (tmp_path / ALIASES).read_bytes() == before


def test_an_error_of_the_decision_is_not_blamed_on_the_aliases(tmp_path: Path) -> None:
    def stumble(now: Aliases) -> AliasChange:
        raise FileNotFoundError(2, "No such file or directory", "manifest.json")

    with pytest.raises(FileNotFoundError, match=r"manifest\.json"):
        change_alias(tmp_path, stumble)
    change(tmp_path, "promote", A)  # the lock was released


def test_times_are_utc_and_the_file_is_for_people_too(tmp_path: Path) -> None:
    change(tmp_path, "promote", A)
    text = (tmp_path / ALIASES).read_text()
    entry = json.loads(text)["history"][0]
    assert entry["when"].endswith("Z")
    assert (entry["by"], entry["after"]["model"]) == ("me", "mine@1")
    assert len(text.splitlines()) > 5
