"""`echocast bench`, as a user runs it."""

import json
from importlib.util import find_spec

import pytest

from model.core.catalog import Catalog
from tests.packages import GRAPH, copied

SIDE, STEPS = 32, 2


def test_json_has_the_speed_of_each_model(echocast):
    words = ("--model", "extrapolation", "--model", "rain-ms-predrnn", "--size", SIDE, "--steps", STEPS, "--runs", 2)
    code, out, err = echocast("bench", *words, "--variant", "fp32", "--json")
    assert code == 0, err
    output = json.loads(out)
    info = Catalog().find("rain-ms-predrnn")
    found = {each["reference"]: each for each in output["measured"]}
    assert list(found)[:2] == ["extrapolation@1", info.reference]
    assert ("pysteps" in found) == (find_spec("pysteps") is not None)
    for each in found.values():
        assert 0 < each["min_s"] <= each["median_s"] <= each["max_s"]
        assert each["runs"] == 2
        assert each["peak_mb"] > 10
        assert each["shape"] == [SIDE, SIDE]
    network, baseline = found[info.reference], found["extrapolation@1"]
    assert network["variant"] == "fp32 on CPU"
    steps = info.input_frames - 1 + STEPS
    macs = sum(layer.macs_per_pixel for layer in info.layers) * SIDE**2 * steps
    assert network["floating_point_operations"] == pytest.approx(2 * macs)
    assert set(network["stages"]) >= {"motion", "network", "advection", "write"}
    assert "network" not in baseline["stages"]
    assert baseline["network_gflops"] is None
    assert network["network_gflops"] > 0
    assert output["convolution_peak_gflops"]["fp32 on CPU"] > 0
    assert output["machine"]["cores"] >= 1
    assert output["machine"]["libraries"]["numpy"]
    assert output["task"] == {"size": [SIDE, SIDE], "steps": STEPS, "weather": "frontal", "threads": 1}


def test_the_table_has_the_speed_of_each_model(echocast):
    code, out, err = echocast("bench", "--model", "extrapolation", "--size", "32x48", "--steps", STEPS, "--runs", 1)
    assert code == 0, err
    assert "32 x 48 pixels, 2 steps" in out
    assert "extrapolation@1" in out
    assert " cores, " in out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--model", "nope"), "no model 'nope'"),
        (("--size", "64x"), "'64x' is not a size"),
        (("--size", "8"), "sides of at least 16 pixels"),
        (("--model", "mine", "--variant", "int8"), "variant"),
        (("--model", "video"), "trained on frames that are not rain"),
    ],
)
def test_impossible_runs_are_refused_in_one_line(echocast, tmp_path, words, text):
    copied(tmp_path, "mine@1", variants={"fp32": GRAPH})
    copied(tmp_path, "video@1", kind="frames")
    code, out, err = echocast("bench", "--runs", 1, "--size", SIDE, "--packages", tmp_path, *words)
    assert (code, out) == (2, "")
    assert text in err
    assert len(err.splitlines()) == 1
