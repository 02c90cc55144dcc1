"""`echocast models calibrate`: a file for extrapolation, a new version of a package, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")

from model.core.model_info import EXTRAPOLATION, ModelInfo
from model.core.package_digest import verify_package
from model.core.probability_calibration import read_calibration
from model.nets.forecast_model import ModelConfig
from model.nets.stack import StackConfig
from model.runtime.load import load_predictor
from model.runtime.predictor import BasePredictor
from tests.archives import storm_archive
from tests.model.export.untrained import packed
from tests.packages import copied

Echocast = Callable[..., tuple[int, str, str]]


def single_field(folder: Path) -> Path:
    """A package without a distribution, as those of older versions and imported ones."""
    net = StackConfig(hidden=4, scales=(1,), kernel=3, patch=4, embed="pointwise")
    made = packed(ModelConfig(net=net), folder, frame_of_reference="lagrangian").folder
    assert made is not None
    return made


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five hours of storms every 15 min."""
    folder = tmp_path_factory.mktemp("archives") / "storms"
    return storm_archive(folder, frames=20, shape=(64, 64), step_minutes=15.0, seed=5)


def test_extrapolation_is_calibrated_into_a_file_that_it_then_uses(
    echocast: Echocast, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "calibration.json"
    code, out, err = echocast("models", "calibrate", "extrapolation", "--archive", archive, "--out", path)
    assert (code, err) == (0, "")
    assert "storms: " in out
    assert str(path) in out
    monkeypatch.setenv("ECHOCAST_CALIBRATION", str(path))
    predictor = load_predictor(EXTRAPOLATION)
    assert isinstance(predictor, BasePredictor)
    assert predictor.calibration == read_calibration(path)


def test_a_package_is_calibrated_into_a_new_version(echocast: Echocast, archive: Path, tmp_path: Path) -> None:
    package = single_field(tmp_path / "from")
    words = ("models", "calibrate", package, "--archive", archive, "--version", "2", "--out", tmp_path / "to")
    code, out, err = echocast(*words, "--json")
    assert (code, err) == (0, "")
    made = tmp_path / "to" / "mine" / "2"
    manifest, before = verify_package(made), verify_package(package)
    assert manifest.calibration is not None
    assert json.loads(out)["probabilities"] == manifest.calibration.model_dump(mode="json")["probabilities"]
    assert before.calibration is None
    assert {name: digest for name, digest in manifest.files.items() if name != "card.md"} == {
        name: digest for name, digest in before.files.items() if name != "card.md"
    }
    card = (made / "card.md").read_text()
    assert card.startswith("# mine 2\n")
    assert "- storms: " in card
    methods = []
    for folder in (package, made):
        predictor = load_predictor(ModelInfo.from_manifest(verify_package(folder), folder))
        assert isinstance(predictor, BasePredictor)
        methods.append(predictor.probability_method)
    assert methods == ["neighbourhood", "neighbourhood-calibrated"]
    code, out, err = echocast(*words)
    assert code == 2
    assert "versions never change" in err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("persistence", "--out", "c.json"), "Calibrate extrapolation"),
        (("extrapolation", "--out", "c.json", "--version", "2"), "leave --version out"),
        (("extrapolation", "--out", "."), "it is a folder"),
        (("extrapolation", "--out", "absent/c.json"), "its folder does not exist"),
        (("nobody", "--out", "c.json"), "nobody"),
    ],
    ids=["persistence", "version", "folder", "no folder", "unknown"],
)
def test_what_cannot_be_calibrated_is_one_line(
    words: tuple[str, ...],
    problem: str,
    echocast: Echocast,
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = echocast("models", "calibrate", *words, "--archive", archive)
    assert code == 2
    assert problem in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_package_without_a_new_version_is_refused(echocast: Echocast, archive: Path, tmp_path: Path) -> None:
    words = ("models", "calibrate", single_field(tmp_path), "--archive", archive, "--out", tmp_path / "to")
    code, _, err = echocast(*words)
    assert code == 2
    assert "needs --version" in err
    assert not (tmp_path / "to").exists()


def test_a_package_with_a_distribution_needs_no_calibration(echocast: Echocast, archive: Path, tmp_path: Path) -> None:
    package = copied(tmp_path, "mine@1")
    code, _, err = echocast(
        "models", "calibrate", package, "--archive", archive, "--version", "2", "--out", tmp_path / "to"
    )
    assert code == 2
    assert "its own distribution" in err
