"""`echocast models promote`, `rollback`, `alias`, `list`, `show` as a user would type them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from model.core.aliases import ALIASES, LOCK, read_aliases
from model.core.catalog import Catalog
from model.core.errors import BadPackage
from model.core.promotion import Evaluation, NotPromoted, promote
from model.data.archive import Archive
from model.data.archive_paths import frame_path
from model.data.archive_writer import ArchiveWriter
from model.data.synthetic_storms import synthesise
from model.registry.evaluation import parity_gate
from tests.archives import HEAVY_FRONTS
from tests.packages import DISTRIBUTION, GRAPH, SHIPPED_REFERENCE, copied, crown, rewrite_manifest

Echocast = Callable[..., tuple[int, str, str]]


def write_archive(folder: Path, weaken: float = 1.0) -> Path:
    """Ten hours of heavy fronts every 15 min."""
    storms = synthesise(frames=41, shape=(64, 64), step_minutes=15.0, seed=5, weather=HEAVY_FRONTS)
    with ArchiveWriter(folder, storms.grid, 15.0, {"source": "synthetic storms"}) as writer:
        for time, rain in zip(storms.times, storms.rain_rate, strict=True):
            writer.append(time, rain * np.float32(weaken))
    return folder


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("archives") / "storms")


def test_the_default_model_itself_passes_and_becomes_champion_once(
    echocast: Echocast, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHOCAST_DATA_DIR", str(tmp_path))
    words = ("models", "promote", "rain-ms-predrnn", "--archive", archive)
    code, out, err = echocast(*words, "--dry-run")
    assert (code, err) == (0, ""), err
    assert "FAIL" not in out
    assert "nothing was changed" in out
    assert list(tmp_path.iterdir()) == []
    code, out, err = echocast(*words, "--json")
    output = json.loads(out)
    assert (code, output["promoted"], output["forced"]) == (0, True, False), err
    assert {gate["gate"] for gate in output["gates"]} == {"csi", "extrapolation", "brier", "crps", "parity", "latency"}
    assert (output["protocol"], list(output["archives"])) == ("nowcast-60@1", [str(archive)])
    code, out, _ = echocast(*words)
    assert (code, out) == (0, f"{SHIPPED_REFERENCE} is already the champion\n")
    assert len(read_aliases(tmp_path / "packages").history) == 1


def test_a_failed_gate_refuses_the_model_unless_forced_with_a_reason(
    echocast: Echocast, archive: Path, tmp_path: Path
) -> None:
    copied(tmp_path, "mine@1")
    words = ("models", "promote", "mine@1", "--archive", archive, "--packages", tmp_path, "--max-seconds", "1e-9")
    code, out, err = echocast(*words, "--force")
    assert code == 2
    assert "--force needs a --reason" in err
    code, out, err = echocast(*words, "--json")
    assert (code, json.loads(out)["promoted"]) == (2, False)
    assert err.count("\n") == 1
    assert "mine@1: not promoted, 1 of the gates' comparisons refuse it: seconds per nowcast. " in err
    assert "--force --reason" in err
    assert not (tmp_path / ALIASES).exists()
    code, out, err = echocast(*words, "--force", "--reason", "the new machine is faster")
    assert code == 0, err
    assert out.count("FAIL") == 1
    assert out.splitlines()[-1] == "champion: mine@1 (was none), against the gates: the new machine is faster"
    entry = read_aliases(tmp_path).history[0]
    assert (entry.forced, entry.reason) == (True, "the new machine is faster")
    assert [gate.gate for gate in entry.gates if not gate.passed] == ["latency"]


def test_scores_on_training_days_pass_no_gate_even_in_a_renamed_archive(
    echocast: Echocast, archive: Path, tmp_path: Path
) -> None:
    """The default model passes on this archive (above); as one that was trained on it, it does not."""
    renamed = tmp_path / "renamed"
    shutil.copytree(archive, renamed)
    day = str(Archive(archive).times[0].astype("datetime64[D]"))
    trained = {"data_digest": "", "iterations": 1, "recipe": {}, "software": ""}
    trained |= {"days": [f"storms {day}"], "sources": ["synthetic storms"]}
    copied(tmp_path / "packages", "mine@1", training=trained)
    words = ("models", "promote", "mine@1", "--archive", renamed, "--packages", tmp_path / "packages")
    code, out, err = echocast(*words, "--max-seconds", 60, "--json")
    assert code == 2
    gates = json.loads(out)["gates"]
    assert {gate["passed"] for gate in gates if gate["gate"] in ("csi", "extrapolation")} == {None}
    assert {gate["passed"] for gate in gates if gate["gate"] in ("parity", "latency")} == {True}
    assert err.count("\n") == 1
    assert f"it was trained on 1 of these 1 days in {renamed}" in err
    assert "days that it has not seen" in err
    assert not (tmp_path / "packages" / ALIASES).exists()


def test_a_dry_archive_is_inconclusive_and_the_note_names_training_days(
    echocast: Echocast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dry = write_archive(tmp_path / "dry", weaken=0.1)
    day = Archive(dry).times[0].astype("datetime64[D]")
    trained = {"data_digest": "", "days": [f"dry {day}"], "sources": [], "iterations": 1, "recipe": {}, "software": ""}
    copied(tmp_path / "packages", "mine@1", training=trained)
    monkeypatch.chdir(dry)
    words = ("--archive", ".", "--packages", tmp_path / "packages", "--max-seconds", 3600)
    code, out, err = echocast("models", "promote", "mine@1", *words)
    assert code == 2
    assert f"CSI at 10 mm/h beside {SHIPPED_REFERENCE} is inconclusive" in err
    text = " ".join(out.split())
    assert "the archive holds too little such rain" in text
    assert "it was trained on 1 of these 1 days" in text


def altered(package: Path) -> None:
    """Make the graph another one, and the manifest agree."""
    graph = onnx.load(package / GRAPH)
    weights = max(graph.graph.initializer, key=lambda item: len(item.raw_data))
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(1.1), weights.name))
    onnx.save(graph, package / GRAPH)
    rewrite_manifest(package)


def test_parity_compares_the_graph_with_the_weights_of_the_package(tmp_path: Path) -> None:
    package = copied(tmp_path, "mine@1")
    gate = parity_gate(Catalog((tmp_path,)).find("mine"))
    assert gate.passed is True
    altered(package)
    gate = parity_gate(Catalog((tmp_path,)).find("mine"))
    assert gate.passed is False
    assert gate.value is not None
    assert gate.limit is not None
    assert gate.value > gate.limit


def test_without_pytorch_parity_is_inconclusive_and_the_error_names_the_extra_to_install(
    echocast: Echocast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied(tmp_path, "mine@1")
    for name in [name for name in sys.modules if name.startswith(("model.export.package", "model.nets"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    gate = parity_gate(Catalog((tmp_path,)).find("mine"))
    assert gate.passed is None
    install = "the package torch is not installed. Install it with: pip install 'echocast[train]'"
    assert install in gate.note
    words = ("models", "promote", "mine@1", "--archive", tmp_path / "nowhere", "--packages", tmp_path)
    code, out, err = echocast(*words)  # before the archives are looked at, let alone scored
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert install in err
    assert "nowhere" in echocast(*words, "--force", "--reason", "no PyTorch here")[2]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("mine@9", "no model 'mine@9'"),
        ("extrapolation", "a baseline needs no promotion"),
        ("video@1", "makes no nowcast"),
        ("broken@1", "does not match its digest"),
    ],
)
def test_models_that_cannot_run_are_refused_at_once_even_with_force(
    echocast: Echocast, archive: Path, tmp_path: Path, reference: str, message: str
) -> None:
    copied(tmp_path, "mine@1")
    copied(tmp_path, "video@1", kind="frames")
    with (copied(tmp_path, "broken@1") / GRAPH).open("ab") as graph:
        graph.write(b"x")
    words = ("--archive", archive, "--packages", tmp_path, "--force", "--reason", "why not")
    code, _, err = echocast("models", "promote", reference, *words)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / ALIASES).write_text("{"), "the aliases are damaged"),
        (lambda folder: (folder / LOCK).mkdir(), "cannot be written"),
    ],
)
def test_damaged_aliases_and_a_read_only_folder_are_reported_before_the_evaluation(
    echocast: Echocast, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    copied(tmp_path, "mine@1")
    damage(tmp_path)
    for words in (("promote", "mine@1", "--archive", tmp_path / "nowhere"), ("rollback",), ("alias", "night", "mine")):
        code, _, err = echocast("models", *words, "--packages", tmp_path)
        assert (code, err.count("\n")) == (2, 1)
        assert message in err


def test_a_dry_run_needs_no_write_access(echocast: Echocast, tmp_path: Path) -> None:
    crown(copied(tmp_path, "mine@1"))
    (tmp_path / LOCK).unlink()
    (tmp_path / LOCK).mkdir()
    words = ("promote", "mine@1", "--archive", tmp_path, "--packages", tmp_path)
    assert "cannot be written" in echocast("models", *words)[2]
    assert echocast("models", *words, "--dry-run")[:2] == (0, "mine@1 is already the champion\n")


def test_start_times_that_are_left_out_are_reported(echocast: Echocast, archive: Path, tmp_path: Path) -> None:
    shutil.copytree(archive, tmp_path / "damaged")
    path = frame_path(tmp_path / "damaged", Archive(tmp_path / "damaged").times[0])
    path.write_bytes(path.read_bytes()[:50])
    words = ("--archive", tmp_path / "damaged", "--packages", tmp_path, "--dry-run")
    code, _, err = echocast("models", "promote", "rain-ms-predrnn", *words)
    assert code == 0, err
    assert err.count("a start time was left out: ") == 1
    assert f"{path}: it is truncated, after 50 bytes" in err


def evaluation_of(archive: Path) -> Evaluation:
    return Evaluation(gates=(), champion=SHIPPED_REFERENCE, protocol="nowcast-60@1", archives={str(archive): ""})


def test_a_concurrent_promotion_is_not_overwritten(archive: Path, tmp_path: Path) -> None:
    first, second = copied(tmp_path, "mine@1"), copied(tmp_path, "mine@2")
    catalog = Catalog((tmp_path,))
    crown(first)
    with pytest.raises(NotPromoted, match=r"the champion changed to mine@1 during the evaluation. Promote it again"):
        promote(catalog.find("mine@2"), tmp_path, evaluation_of(archive), pinned=None)
    info = catalog.find("mine@2")
    rewrite_manifest(second, summary="Changed meanwhile.")
    with pytest.raises(NotPromoted, match="its package changed"):
        promote(info, tmp_path, evaluation_of(archive), pinned=read_aliases(tmp_path).aliases["champion"])
    shutil.rmtree(second)
    with pytest.raises(BadPackage, match=r"mine/2/manifest\.json: manifest\.json cannot be read \(No such file"):
        promote(info, tmp_path, evaluation_of(archive), pinned=read_aliases(tmp_path).aliases["champion"])
    assert [entry.after.model for entry in read_aliases(tmp_path).history if entry.after] == ["mine@1"]


def test_rollback_goes_back_one_by_one_to_the_default_model(echocast: Echocast, tmp_path: Path) -> None:
    for version in (1, 2):
        crown(copied(tmp_path, f"mine@{version}"))
    code, out, _ = echocast("models", "rollback", "--packages", tmp_path, "--reason", "misses hail")
    assert (code, out) == (0, "champion: mine@1 (was mine@2)\n")
    assert read_aliases(tmp_path).history[-1].reason == "misses hail"
    code, out, _ = echocast("models", "rollback", "--packages", tmp_path)
    assert (code, out) == (0, "champion: none (was mine@1); auto is the default model rain-ms-predrnn\n")
    code, _, err = echocast("models", "rollback", "--packages", tmp_path)
    assert (code, err.count("\n")) == (2, 1)
    assert "there is nothing to roll back. Promote one with" in err


def test_aliases_are_set_and_removed(echocast: Echocast, tmp_path: Path) -> None:
    copied(tmp_path, "mine@1")
    words = ("--packages", tmp_path)
    assert echocast("models", "alias", "challenger", "mine@1", *words)[:2] == (0, "challenger: mine@1 (was none)\n")
    assert "mine@1 (challenger)" in echocast("models", "show", "challenger", *words)[1]
    assert echocast("models", "alias", "challenger", "--remove", *words)[:2] == (0, "challenger: none (was mine@1)\n")
    for name, message in (
        ("champion", "only gates change champion"),
        ("mine", "the name of a model"),
        ("auto", "the name of a model"),
        ("Night!", "not a valid alias"),
    ):
        code, _, err = echocast("models", "alias", name, "mine@1", *words)
        assert code == 2
        assert message in err
    assert "no such alias" in echocast("models", "alias", "night", "--remove", *words)[2]
    assert "Give either" in echocast("models", "alias", "night", *words)[2]


def test_list_and_show_print_aliases_the_kind_of_frames_and_fields(echocast: Echocast, tmp_path: Path) -> None:
    package = copied(tmp_path, "mine@1", fields=["orography"])
    copied(tmp_path, "video@1", kind="frames")
    crown(package)
    code, out, err = echocast("models", "list", "--packages", tmp_path)
    assert (code, err) == (0, "")
    (row,) = (line for line in out.splitlines() if "mine" in line)
    assert "champion" in row
    (row,) = (line for line in out.splitlines() if "video" in line)
    assert "frames, not rain" in row
    rows = {row["name"]: row for row in json.loads(echocast("models", "list", "--json", "--packages", tmp_path)[1])}
    assert (rows["mine"]["aliases"], rows["video"]["aliases"], rows["video"]["data"]) == (["champion"], [], "frames")
    for reference in ("champion", package):
        shown = echocast("models", "show", reference, "--packages", tmp_path)[1]
        assert shown.startswith("mine@1 (champion)")
        assert "Reads exogenous fields: orography." in shown
    shutil.rmtree(package)
    _, out, err = echocast("models", "list", "--packages", tmp_path)
    assert "rain-ms-predrnn" in out
    assert "the champion mine@1 cannot be used: mine@1 is not installed" in err


def test_list_and_show_print_the_fields_of_a_distribution(echocast: Echocast, tmp_path: Path) -> None:
    copied(tmp_path, "likely@1", distribution=DISTRIBUTION)
    shown = echocast("models", "show", "likely", "--packages", tmp_path)[1]
    assert "Fields: expected (default), median, sharp. Probabilities at 0.5, 5 mm/h" in shown
    listed = " ".join(echocast("models", "list", "--packages", tmp_path)[1].split())
    assert "expected" in listed
    [row] = [
        row
        for row in json.loads(echocast("models", "list", "--json", "--packages", tmp_path)[1])
        if row["name"] == "likely"
    ]
    assert (row["distribution"]["default_field"], row["distribution"]["thresholds_mm_h"]) == ("expected", [0.5, 5.0])
    shown = echocast("models", "show", "persistence")[1]
    assert "Forecasts a single field, probabilities from the neighbourhood of each pixel, no members." in shown


def test_list_shows_all_models_and_reports_damaged_aliases(echocast: Echocast, tmp_path: Path) -> None:
    copied(tmp_path, "mine@1")
    (tmp_path / ALIASES).write_text("not json")
    code, out, err = echocast("models", "list", "--packages", tmp_path)
    assert code == 0
    assert "mine" in out
    assert f"{tmp_path / ALIASES}: the aliases are damaged" in err
    assert "promote a model again" in err


def test_the_default_folder_of_packages_is_that_of_the_service(
    echocast: Echocast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHOCAST_DATA_DIR", str(tmp_path))
    assert "nothing to roll back" in echocast("models", "rollback")[2]
    crown(copied(tmp_path / "packages", "mine@1"))
    assert "mine@1 (champion)" in echocast("models", "show", "champion")[1]
    assert echocast("models", "rollback")[:2] == (
        0,
        "champion: none (was mine@1); auto is the default model rain-ms-predrnn\n",
    )
