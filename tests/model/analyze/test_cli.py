"""`echocast analyze`, as a user runs it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from model.analyze.analysed_model import AnalysedModel, load_analysed_model
from model.analyze.inputs import from_files, synthetic_rain
from model.core.forecast_file import write_netcdf
from model.core.normalisation import hko7_fraction
from model.data.synthetic_storms import synthesise

from .conftest import CONTEXT, network, simvp, stack


@pytest.fixture
def mnist_net(package):
    return package("decoupled", network(stack()))


@pytest.fixture(scope="module")
def storms():
    return synthesise(frames=5, shape=(96, 80), step_minutes=5.0, seed=2)


@pytest.fixture
def radar_file(storms, tmp_path):
    write_netcdf(storms, tmp_path / "storms.nc")
    return tmp_path / "storms.nc"


def size_of(path):
    with Image.open(path) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert np.asarray(picture.convert("RGB")).std() > 10  # not blank
        return picture.size


def test_a_package_gives_three_pictures_and_their_figures(echocast, mnist_net, tmp_path):
    code, out, err = echocast("analyze", mnist_net, "--out", tmp_path / "a", "--steps", 2, "--json")
    assert code == 0, err
    assert size_of(tmp_path / "a/gradient.png") == (840, 504)
    assert size_of(tmp_path / "a/decoupling.png") == (720, 864)
    assert size_of(tmp_path / "a/responses.png")[0] > 1000
    analysis = json.loads((tmp_path / "a/analysis.json").read_text())
    assert json.loads(out) == analysis
    (figures,) = analysis["models"]
    assert figures["model"] == "decoupled@1"
    assert figures["input"]["what"] == "4 sequences of moving-mnist, seed 0"
    assert figures["gradient"]["frame"] == [-2, -1, 0]
    assert min(figures["gradient"]["mean_abs"]) > 0
    assert figures["decoupling"]["frame"] == [-2, -1, 0, 1]
    for seen in ("raw", "projected"):
        table = np.array(figures["decoupling"][seen]["mean_by_layer_and_step"])
        assert table.shape == (3, 4)
        assert ((table >= 0) & (table <= 1)).all()
        assert sum(figures["decoupling"][seen]["share_by_bin"]) == pytest.approx(1, abs=1e-4)
    assert [layer["shape"] for layer in figures["responses"]["layers"]] == [[32, 32], [16, 16], [32, 32]]
    with np.load(tmp_path / "a/responses.npz") as maps:
        assert maps["decoupled@1/layer 2"].shape == (16, 16)


def test_the_same_seed_gives_the_same_figures_and_another_seed_others(echocast, mnist_net, tmp_path):
    answers = [
        echocast("analyze", mnist_net, "--out", tmp_path / "a", "--steps", 1, "--json", "--seed", seed)[1]
        for seed in (4, 4, 5)
    ]
    gradients = [json.loads(answer)["models"][0]["gradient"] for answer in answers]
    assert gradients[0] == gradients[1] != gradients[2]


def test_a_network_without_decoupling_stands_beside_one_with(echocast, mnist_net, package, tmp_path):
    package("plain", network(stack(decoupled=False), seed=1))
    words = ("--beside", "plain", "--packages", tmp_path / "packages", "--out", tmp_path / "a", "--steps", 2)
    code, out, err = echocast("analyze", "decoupled@1", *words)
    assert code == 0, err
    assert out.split() == [str(tmp_path / f"a/{name}.png") for name in ("gradient", "decoupling", "responses")]
    assert size_of(tmp_path / "a/decoupling.png") == (1344, 864)
    with_w, without = json.loads((tmp_path / "a/analysis.json").read_text())["models"]
    assert "projected" in with_w["decoupling"]
    assert "projected" not in without["decoupling"]
    assert with_w["decoupling"]["raw"].keys() == without["decoupling"]["raw"].keys()


def test_a_recurrent_free_network_has_no_cosines(echocast, mnist_net, package, tmp_path):
    echocast("analyze", mnist_net, "--out", tmp_path / "a", "--steps", 1)
    code, out, err = echocast("analyze", package("whole", network(simvp())), "--out", tmp_path / "a", "--lead", 5)
    assert code == 0, err
    assert "whole@1 lacks the memory C or M" in out
    assert not (tmp_path / "a/decoupling.png").exists()  # that of the network before
    analysis = json.loads((tmp_path / "a/analysis.json").read_text())
    assert analysis["pictures"] == ["gradient.png", "responses.png"]
    assert "omitted" in analysis["models"][0]["decoupling"]
    assert analysis["models"][0]["responses"]["layers"][2]["name"] == "translator"


def test_a_network_that_no_frame_reaches_is_drawn_all_the_same(echocast, package, tmp_path):
    net = network(stack())
    net.stack.embedding.output.bias.data.fill_(50.0)
    code, out, err = echocast("analyze", package("stuck", net), "--out", tmp_path / "a", "--json", "--steps", 1)
    assert code == 0, err
    assert json.loads(out)["models"][0]["gradient"]["mean_abs"] == [0, 0, 0]
    assert size_of(tmp_path / "a/gradient.png") == (840, 504)


def test_a_training_run_is_looked_into(echocast, training_run, tmp_path):
    run = training_run("first", network(stack()))
    code, out, err = echocast("analyze", run, "--out", tmp_path / "a", "--json", "--steps", 1)
    assert code == 0, err
    assert json.loads(out)["models"][0]["model"] == "tiny (first, iteration 7)"


def test_a_rain_network_is_looked_at_with_radar_files(echocast, package, radar_file, tmp_path):
    net = network(stack(), reads_known=True, reads_time=True, residual=True)
    net.stack.embedding.output.weight.data.normal_(std=0.1)
    folder = package("rain", net, frame_of_reference="lagrangian")
    code, out, err = echocast(
        "analyze", folder, radar_file, "--out", tmp_path / "a", "--size", 50, "--steps", 2, "--json"
    )
    assert code == 0, err
    inputs = json.loads(out)["models"][0]["input"]
    assert inputs["shape"] == [48, 48]  # a multiple of the stride
    assert inputs["step_minutes"] == 5
    assert inputs["frame_of_reference"] == "lagrangian"
    code, out, err = echocast("analyze", folder, "--out", tmp_path / "a", "--size", 32, "--steps", 1, "--json")
    assert code == 0, err
    assert "synthetic rain" in json.loads(out)["models"][0]["input"]["what"]


def model(*, lagrangian):
    return AnalysedModel(
        name="rain", net=network(stack(), reads_known=True), context=CONTEXT, lagrangian=lagrangian, rain=True
    )


def test_files_are_cut_where_it_rains_most(radar_file, storms):
    seen = from_files(model(lagrangian=False), [radar_file], 32, 1).data[0, -1, 0]
    newest = hko7_fraction(storms.rain_rate[-1])
    sums = [newest[top : top + 32, left : left + 32].sum() for top in range(65) for left in range(49)]
    assert seen.sum() == pytest.approx(max(sums), rel=1e-3)


def test_rain_stands_still_for_a_lagrangian_network():
    change = {}
    for lagrangian in (True, False):
        data = synthetic_rain(model(lagrangian=lagrangian), 64, 1, seed=1).data
        assert np.isfinite(data).mean() > 0.95  # the margin is wide enough
        change[lagrangian] = np.nanmean(np.abs(data[:, 0] - data[:, -1]))
    assert change[True] < 0.8 * change[False]


def test_a_network_hears_the_fields_that_belong_to_the_frames(echocast, package, radar_file, storms, tmp_path):
    net = network(stack(), reads_known=True, fields=3)
    folder = package("fields", net, fields=("solar-time", "height"))
    height = np.arange(96 * 80, dtype=np.float32).reshape(96, 80) / 7680
    frames = replace(storms, rain_rate=height[None], times=storms.times[:1])
    dataset = frames.to_dataset().rename(rainfall_rate="height").isel(time=0, drop=True)
    (tmp_path / "fields").mkdir()
    dataset.to_netcdf(tmp_path / "fields/height.nc")
    words = ("analyze", folder, radar_file, "--out", tmp_path / "a", "--size", 32, "--steps", 2, "--json")
    code, _, err = echocast(*words, "--fields", tmp_path / "fields")
    assert code == 0, err
    assert "the file height.nc is missing" in refused(echocast, *words[1:])

    seen = from_files(load_analysed_model(str(folder)), [radar_file], 32, 2, fields=tmp_path / "fields")
    top, left = np.argwhere(np.isclose(height, seen.fields[0, 0, 2, 0, 0]))[0]
    assert seen.fields.shape == (1, CONTEXT + 2, 3, 32, 32)
    assert seen.fields[0, :, 2] == pytest.approx(np.stack([height[top : top + 32, left : left + 32]] * 5), abs=1e-5)
    rain = hko7_fraction(storms.rain_rate[-1, top : top + 32, left : left + 32])
    assert seen.data[0, -1, 0] == pytest.approx(rain, abs=0.01)
    turns = np.unwrap(np.arctan2(seen.fields[0, :, 0, 0, 0], seen.fields[0, :, 1, 0, 0]))
    assert np.diff(turns) == pytest.approx(2 * np.pi * 5 / (24 * 60), rel=1e-2)


def test_synthetic_rain_comes_with_the_fields_of_its_time(echocast, package, tmp_path):
    folder = package("sun", network(stack(), reads_known=True, fields=2), fields=("solar-time",))
    code, _, err = echocast("analyze", folder, "--out", tmp_path / "a", "--size", 32, "--steps", 1, "--json")
    assert code == 0, err
    inputs = synthetic_rain(load_analysed_model(str(folder)), 32, 1, seed=0)
    assert inputs.fields.shape == (4, CONTEXT + 1, 2, 32, 32)


def refused(echocast, *words):
    code, out, err = echocast("analyze", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    return err


def test_what_cannot_be_looked_at_is_refused_in_a_line(echocast, mnist_net, package, radar_file, tmp_path):
    out = ("--out", tmp_path / "a")
    assert "no model 'nothing'" in refused(echocast, "nothing", *out)
    assert "no such folder" in refused(echocast, tmp_path / "nowhere", *out)
    assert "not a network" in refused(echocast, "persistence", *out)
    assert "neither manifest.json nor recipe.json" in refused(echocast, tmp_path, *out)
    assert "same network" in refused(echocast, mnist_net, "--beside", mnist_net, *out)
    assert "not both" in refused(echocast, mnist_net, radar_file, "--data", "synthetic", *out)
    assert "no data set" in refused(echocast, mnist_net, "--data", "nothing", *out)
    assert "greater than --steps" in refused(echocast, mnist_net, "--steps", 2, "--lead", 3, *out)
    assert "no such file" in refused(echocast, mnist_net, tmp_path / "absent.nc", *out).lower()
    two = package("two", network(stack(), channels=2))
    assert "reads frames of 2 channels" in refused(echocast, two, *out)
    fields = package("fields", network(stack(), fields=1))
    assert "reads 1 planes of exogenous fields" in refused(echocast, fields, *out)
    many = package("many", network(stack()), input_frames=9)
    assert "needs 9 frames, the input has 5" in refused(echocast, many, radar_file, *out)
    bound = package("bound", network(stack(grid=(128, 128), layer_norm=True)))
    assert "80 pixels, bound@1 requires 128 x 128" in refused(echocast, bound, radar_file, *out)
    assert not (tmp_path / "a").exists()


def test_a_folder_that_cannot_be_written_is_named(echocast, mnist_net, tmp_path):
    (tmp_path / "taken").write_text("")
    for out in ("taken", "taken/below"):
        assert "Choose another --out" in refused(echocast, mnist_net, "--out", tmp_path / out, "--steps", 1)


def test_damaged_packages_and_runs_are_refused_in_a_line(echocast, mnist_net, training_run, tmp_path):
    out = ("--out", tmp_path / "a")
    (mnist_net / "weights.safetensors").write_bytes(b"\0" * 20)
    assert str(mnist_net) in refused(echocast, mnist_net, *out)
    run = training_run("first", network(stack()))
    (run / "best.pt").write_bytes(b"no weights")
    assert str(run) in refused(echocast, run, *out)
    (run / "best.pt").unlink()
    assert "no best.pt" in refused(echocast, run, *out)
