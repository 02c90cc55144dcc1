"""Packages of every kind of network, written and then served as a user would."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

from model.core.catalog import DEFAULT_MODEL, Catalog
from model.core.errors import BadPackage, InputError
from model.core.manifest import read_manifest, write_manifest
from model.core.model_info import EXTRAPOLATION
from model.core.sequence import FrameSequence
from model.data.synthetic_storms import synthesise
from model.export.package import network_name
from model.nets.forecast_model import ModelConfig, load_model
from model.nets.networks import AS_PUBLISHED, IN_MS_RNN
from model.registry.cli import models
from model.runtime.load import load_predictor
from model.runtime.model_selection import select_model
from model.runtime.nowcast import nowcast
from tests.model.export.untrained import packed
from tests.model.nets.small import CONFIGS

TAU = replace(CONFIGS["tau"], residual=False)
PREDRNN = replace(CONFIGS["ms-predrnn in MS-RNN"], reads_known=True, reads_time=True)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("ECHOCAST_THREADS", "1")


def storms(shape=(70, 90)):
    return synthesise(frames=4, shape=shape, step_minutes=5.0, seed=4)


def test_network_names_match_the_registry_of_networks():
    for prefix, networks in (("", IN_MS_RNN), ("", AS_PUBLISHED)):
        for name, build in networks.items():
            config = ModelConfig(net=build(), reads_time=False, fields=1 if "action" in name else 0)
            assert prefix + network_name(config) == name


def test_a_recurrent_free_network_forecasts_more_leads_than_one_run_has(tmp_path):
    info = packed(TAU, tmp_path)
    forecast = nowcast(storms(), load_predictor(info), 10).rain_rate
    assert forecast.shape == (10, 70, 90)
    assert (np.abs(np.diff(forecast, axis=0)).max(axis=(1, 2)) > 0).all()
    assert load_model(info.folder).config == TAU


def test_a_recurrent_free_network_runs_a_large_domain_in_tiles(tmp_path, monkeypatch):
    sequence, info = storms((200, 260)), packed(CONFIGS["tau"], tmp_path)
    whole = nowcast(sequence, load_predictor(info), 6).rain_rate
    monkeypatch.setattr("model.runtime.onnx_predictor.WHOLE_TILE_SIDE", 192)
    tiled = nowcast(sequence, load_predictor(info), 6).rain_rate
    assert tiled.shape == whole.shape
    assert not np.array_equal(tiled, whole)
    assert np.corrcoef(tiled.ravel(), whole.ravel())[0, 1] > 0.9  # its norms see a tile, and not the whole domain


def test_a_network_bound_to_a_grid_accepts_only_that_grid(tmp_path):
    bound = replace(PREDRNN, net=replace(PREDRNN.net, layer_norm=True, grid=(8, 12)))
    info = packed(bound, tmp_path)
    large = storms()
    rain = np.full((4, 8, 12), 3.0, np.float32)
    small = FrameSequence(rain, large.times, replace(large.grid, x=large.grid.x[:12], y=large.grid.y[:8]))
    assert nowcast(small, load_predictor(info), 2).rain_rate.shape == (2, 8, 12)
    with pytest.raises(InputError, match=r"70 x 90 pixels, mine@1 takes 8 x 12"):
        nowcast(large, load_predictor(info), 2)


def test_a_network_of_several_channels_is_no_model_of_rain(tmp_path):
    info = packed(replace(PREDRNN, channels=2), tmp_path)
    with pytest.raises(BadPackage, match="2 channels, rain has 1"):
        load_predictor(info)


def test_a_network_of_other_frames_is_no_model_of_rain(tmp_path):
    info = packed(CONFIGS["ms-predrnn in MS-RNN"], tmp_path, kind="frames")
    with pytest.raises(InputError, match="mine@1 was trained on frames that are not rain"):
        nowcast(storms(), load_predictor(info), 2)
    with pytest.raises(InputError, match="not rain"):
        select_model(storms(), "mine", Catalog([tmp_path]))
    assert "makes no nowcast" in show("mine", "--packages", tmp_path)
    assert "makes no nowcast" in (info.folder / "card.md").read_text()


@pytest.mark.parametrize("name", ["champion", "challenger", "auto", "extrapolation"])
def test_reserved_names_are_refused(tmp_path, name):
    with pytest.raises(InputError, match=f"--name: the name {name} is reserved. Give another --name"):
        packed(TAU, tmp_path, name=name)
    assert not list(tmp_path.iterdir())


def test_a_model_of_other_frames_cannot_replace_the_default_model(tmp_path):
    with pytest.raises(InputError, match="Give another --name"):
        packed(CONFIGS["ms-predrnn in MS-RNN"], tmp_path, name=DEFAULT_MODEL, kind="frames")
    info = packed(CONFIGS["ms-predrnn in MS-RNN"], tmp_path, name=DEFAULT_MODEL)
    manifest = read_manifest(info.folder)
    write_manifest(manifest.model_copy(update={"kind": "frames"}), info.folder)
    chosen, _, note = select_model(storms(), "auto", Catalog([tmp_path]))
    assert chosen is EXTRAPOLATION
    assert "not rain" in note


def test_exogenous_fields_reach_the_network_at_their_times(tmp_path):
    conditioned = replace(CONFIGS["action-predrnn"], fields=2, residual=True)
    info = packed(conditioned, tmp_path, fields=("solar-time",))
    predictor, morning = load_predictor(info), storms()
    evening = replace(morning, times=morning.times + np.timedelta64(9, "h"))
    forecasts = [nowcast(frames, predictor, 3).rain_rate for frames in (morning, evening)]
    assert np.nanmax(np.abs(forecasts[0] - forecasts[1])) > 0.01


def test_a_constant_field_is_part_of_the_package(tmp_path):
    conditioned = replace(CONFIGS["action-predrnn"], fields=1, residual=True)
    lon, lat = np.linspace(-180, 180, 73), np.linspace(-90, 90, 37)
    heights = xr.DataArray(np.full((37, 73), 0.7), {"lat": lat, "lon": lon}, ("lat", "lon"), name="height")
    heights.to_netcdf(tmp_path / "orography.nc")
    with pytest.raises(InputError, match="reads no field winds"):
        packed(conditioned, tmp_path, [tmp_path / "winds.nc"], fields=("orography",))
    info = packed(conditioned, tmp_path, [tmp_path / "orography.nc"], fields=("orography",))
    (tmp_path / "orography.nc").unlink()
    assert nowcast(storms(), load_predictor(info), 1).rain_rate.shape[0] == 1


def test_missing_and_undeclared_fields_are_reported(tmp_path):
    conditioned = replace(CONFIGS["action-predrnn"], fields=1)
    info = packed(conditioned, tmp_path / "named", fields=("orography",))
    with pytest.raises(InputError, match=r"file orography\.nc is missing"):
        nowcast(storms(), load_predictor(info, tmp_path), 1)
    with pytest.raises(BadPackage, match="the manifest names none"):
        load_predictor(packed(conditioned, tmp_path / "unnamed"))
    with pytest.raises(BadPackage, match="are 2 planes, the network reads 1"):
        packed(conditioned, tmp_path / "wrong", fields=("season",))


def test_a_version_is_written_once_and_only_with_matching_frames(tmp_path):
    packed(TAU, tmp_path)
    with pytest.raises(InputError, match="versions never change"):
        packed(TAU, tmp_path)
    with pytest.raises(BadPackage, match="input_frames is 5, the network reads 4"):
        packed(TAU, tmp_path, version="2", input_frames=5)


def show(*words):
    return CliRunner().invoke(models, ["show", *map(str, words)], env={"COLUMNS": "120"}, catch_exceptions=False).output


def test_show_lists_the_layers_and_their_cost_on_a_grid():
    table = show("rain-ms-predrnn", "--grid", "640x710")
    assert "Layers on a grid of 640 x 710" in table
    (total,) = (line for line in table.splitlines() if "total" in line)
    assert "902,140" in total
    assert "11.202" in total
    assert "22.7" in total
    # 32 channels of H and C at a fourth, an eighth and a sixteenth, twice each, and M at a fourth, in float32
    values = 32 * (4 / 16 + 4 / 64 + 4 / 256 + 1 / 16)
    assert values * 640 * 710 * 4 / 1e6 == pytest.approx(22.7, abs=0.05)
    (first,) = (line for line in table.splitlines() if "cell 1" in line)
    assert "STLSTM" in first
    assert "4.246" in first
    assert "512 x 512" in show("rain-ms-predrnn")
    assert "Layers" not in show("persistence")
    with pytest.raises(InputError, match="'640' is not a grid"):
        show("rain-ms-predrnn", "--grid", "640")


def test_show_of_a_recurrent_free_network_counts_a_run_without_states(tmp_path):
    packed(TAU, tmp_path)
    table = show("mine", "--packages", tmp_path)
    assert "GMAC per run of 4 frames" in table
    assert "translator 1" in table


def test_show_as_json_has_the_layers():
    import json

    info = json.loads(show("rain-ms-predrnn", "--json"))
    parameters = sum(
        parameter.numel() for parameter in load_model(Catalog().find("rain-ms-predrnn").folder).parameters()
    )
    assert sum(layer["parameters"] for layer in info["layers"]) == parameters
    assert info["scores"]
