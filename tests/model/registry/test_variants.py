"""`echocast models variant`: what comes in, what is refused, and what is left behind."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

pytest.importorskip("torch")

from model.core.manifest import MANIFEST, VariantGate, read_manifest
from model.core.package_digest import verify_package
from model.data.synthetic_storms import convective
from model.export import variants
from model.registry.variants import VariantRefused, check_variant_gates
from tests.archives import HEAVY_FRONTS, storm_archive
from tests.packages import GRAPH, copied

Echocast = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Ten hours of heavy fronts every 15 min to judge on, and an hour of storms to calibrate on."""
    found = []
    for name, frames, weather in (("fronts", 41, HEAVY_FRONTS), ("storms", 6, convective())):
        settings = {"frames": frames, "shape": (96, 96), "step_minutes": 15.0, "seed": 5, "weather": weather}
        found.append(storm_archive(tmp_path_factory.mktemp("archives") / name, **settings))
    return found[0], found[1]


@pytest.fixture
def package(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped network with its float32 graph alone; little to calibrate on is enough here."""
    monkeypatch.setattr(variants, "SAMPLES_PER_ARCHIVE", 4)
    monkeypatch.setattr(variants, "SAMPLE_LEADS", 8)
    made = copied(tmp_path_factory.mktemp("packages"), "mine@1", variants={"fp32": GRAPH})
    manifest = json.loads((made / MANIFEST).read_text())
    for other in ("model.int8.onnx", "model.fp16.onnx"):
        (made / other).unlink()
        del manifest["files"][other]
    (made / MANIFEST).write_text(json.dumps(manifest))
    return made


@pytest.fixture
def words(package: Path, archives: tuple[Path, Path]) -> tuple[object, ...]:
    given = ("--version", "9", "--archive", archives[0], "--calibrate", archives[1])
    return ("models", "variant", package, "int8", *given)


def test_good_variants_become_a_new_version(
    echocast: Echocast, words: tuple[object, ...], package: Path, tmp_path: Path
) -> None:
    code, out, err = echocast(*words, "fp16", "--out", tmp_path / "packages", "--json")
    assert (code, err) == (0, ""), err + out
    output = json.loads(out)
    assert output["model"] == "mine@9"
    assert {gate["passed"] for gate in output["gates"]} <= {True, None}
    made = tmp_path / "packages" / "mine" / "9"
    manifest = verify_package(made)
    assert set(manifest.variants) == {"fp32", "int8", "fp16"}
    assert {gate.variant for gate in manifest.variant_gates} == {"int8", "fp16"}
    before = read_manifest(package)
    assert (manifest.scores, manifest.training) == (before.scores, before.training)
    assert manifest.files["weights.safetensors"] == before.files["weights.safetensors"]
    card = (made / "card.md").read_text()
    assert card.startswith("# mine 9\n")
    assert card.count("## Variants") == 1
    assert "| int8 | fronts | 0.5 mm/h |" in card
    code, out, err = echocast("models", "show", made)
    assert "Variants: fp32, int8, fp16." in out
    code, out, err = echocast(*words, "fp16", "--out", tmp_path / "packages")
    assert code == 2
    assert "versions never change" in err


def wrong(make: Callable[..., object], scale: float) -> Callable[..., object]:
    """`export_int8`, and then one convolution whose outputs are read at another scale than they were written at."""

    def export(traced: object, out: Path, samples: object) -> object:
        done = make(traced, out, samples)
        model = onnx.load(out)
        makers = {name: node for node in model.graph.node for name in node.output}
        rounds = [
            node
            for node in model.graph.node
            if node.op_type == "QuantizeLinear" and makers.get(node.input[0], node).op_type == "Conv"
        ]
        (constant,) = (item for item in model.graph.initializer if item.name == rounds[-1].input[1])
        constant.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(constant) * np.float32(scale), constant.name))
        onnx.save(model, out)
        return done

    return export


def test_a_wrong_int8_graph_is_refused_and_leaves_no_files(
    echocast: Echocast, words: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "export_int8", wrong(variants.export_int8, 0.25))
    code, out, err = echocast(*words, "--out", tmp_path / "packages")
    assert code == 2
    assert err.count("\n") == 1
    assert "int8 refused: on fronts CSI at " in err
    assert "the limit is 0.5%" in err
    assert "FAIL" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("scale", "why"), [(0.9, "fp16 refused: on fronts CSI at "), (np.nan, "the network returned NaN")]
)
def test_a_float16_graph_with_wrong_weights_is_refused(
    echocast: Echocast,
    words: tuple[object, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scale: float,
    why: str,
) -> None:
    def export(traced: object, out: Path) -> object:
        single = make(traced, out)
        model = onnx.load(out)
        last = [node for node in model.graph.node if node.op_type == "Conv"][-1]
        (weights,) = (item for item in model.graph.initializer if item.name == last.input[1])
        values = numpy_helper.to_array(weights)
        weights.CopyFrom(numpy_helper.from_array((values * scale).astype(values.dtype), weights.name))
        onnx.save(model, out)
        return single

    make = variants.export_float16
    monkeypatch.setattr(variants, "export_float16", export)
    args = ("fp16" if word == "int8" else word for word in words)
    code, _, err = echocast(*args, "--out", tmp_path / "packages")
    assert code == 2
    assert err.count("\n") == 1
    assert why in err
    assert list(tmp_path.iterdir()) == []


def test_an_int8_graph_does_not_pass_on_its_calibration_frames(
    echocast: Echocast, package: Path, archives: tuple[Path, Path], tmp_path: Path
) -> None:
    renamed = tmp_path / "renamed"
    shutil.copytree(archives[0], renamed)
    words = ("models", "variant", package, "int8", "--version", "9", "--archive", archives[0], "--calibrate", renamed)
    code, _, err = echocast(*words, "--out", tmp_path / "packages")
    assert code == 2
    assert re.search(r"int8 refused: fronts is inconclusive, the graph was calibrated on \d+ of these frames", err)
    assert "evaluate on another" in err
    assert not (tmp_path / "packages").exists()


def gate(passed: bool | None, threshold: float = 2.0) -> VariantGate:
    return VariantGate(
        variant="int8",
        protocol="p",
        archive="a",
        archive_digest="",
        threshold_mm_h=threshold,
        passed=passed,
        csi_fp32=0.5,
        csi=0.4,
        change=-0.2,
        limit=0.005,
    )


def test_one_failure_refuses_a_variant_and_every_threshold_needs_one_pass() -> None:
    check_variant_gates("m@1", [gate(True), gate(None), gate(None, 5.0), gate(True, 5.0)])
    with pytest.raises(VariantRefused, match=r"CSI at 5 mm/h is 0.5000 in float32 and 0.4000 in int8, a change of -20"):
        check_variant_gates("m@1", [gate(True), gate(False, 5.0)])
    with pytest.raises(VariantRefused, match="no archive holds enough rain at 5 mm/h"):
        check_variant_gates("m@1", [gate(True), gate(None, 5.0)])


def test_unsuitable_arguments_are_refused_in_one_line(
    echocast: Echocast, words: tuple[object, ...], tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "packages")
    code, _, err = echocast(*words[:-2], *out)
    assert code == 2
    assert "int8 needs --calibrate" in err
    code, _, err = echocast("models", "variant", "extrapolation", *words[3:], *out)
    assert code == 2
    assert "a baseline has no graph" in err
    other = copied(tmp_path / "mine", "videos@1", kind="frames")
    code, _, err = echocast("models", "variant", other, *words[3:], *out)
    assert (code, err.count("\n")) == (2, 1)
    assert "not rain" in err
    both = copied(tmp_path / "mine", "both@1")
    code, _, err = echocast("models", "variant", both, *words[3:], *out)
    assert (code, err.count("\n")) == (2, 1)
    assert "Name all of them: fp16 int8" in err
    slow = copied(tmp_path / "mine", "slow@1", time_step={"min_minutes": 5, "max_minutes": 5}, variants={"fp32": GRAPH})
    code, _, err = echocast("models", "variant", slow, *words[3:], *out)
    assert (code, err.count("\n")) == (2, 1)
    assert "frames are 15 min apart, slow@9 takes 5 to 5 min" in err
    assert not (tmp_path / "packages").exists()
