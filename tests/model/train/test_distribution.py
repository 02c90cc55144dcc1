"""A network with a distribution from an archive to a nowcast: train, export, forecast fields and probabilities."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from model.core.errors import BadPackage, InputError
from model.core.forecast_output import ForecastOutput
from model.core.manifest import MANIFEST, Distribution, SharpCuts, read_manifest
from model.core.model_info import ModelInfo
from model.core.rain_distribution import BINS
from model.data.synthetic_storms import synthesise
from model.export.run import build_package
from model.runtime.device import EngineOptions
from model.runtime.frame_selection import select_context
from model.runtime.onnx_predictor import OnnxPredictor
from model.runtime.request import ForecastRequest
from model.train.cli import train
from model.train.exceedance_validation import LEAD_MINUTES, ExceedanceCounts, exceedance_scores, sharp_cuts
from model.train.recipes import RECIPES
from model.train.run_folder import SHARP_CUTS
from tests.archives import storm_archive
from tests.model.export.untrained import packed

THRESHOLDS = "0.1,0.5,2,5,10"
WORDS = (
    *("rain-ms-predrnn-distribution", "--iterations", "4", "--batch", "2", "--threads", "1"),
    *("--set", "model.net.hidden=8", "--set", f"model.thresholds_mm_h={THRESHOLDS}"),
    *("--set", "loss.threshold_weights=1,1,1,2,2", "--set", "windows.crop=64", "--set", "windows.margin=32"),
    *("--set", "windows.coarsen_chance=0", "--set", "windows.outage_chance=1", "--set", "windows.leads=6"),
    *("--set", "bfloat16=false", "--set", "validate_every=2", "--set", "validation_windows=4"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("distribution")


@pytest.fixture(scope="module")
def archive(folder):
    settings = {"frames": 40, "shape": (128, 160), "step_minutes": 5.0, "seed": 5}
    return storm_archive(folder / "archive", source="synthetic storms", **settings)


@pytest.fixture(scope="module")
def run(archive, folder):
    words = (*WORDS, "--archive", archive, "--archive-weight", "2", "--out", folder / "run")
    done = CliRunner().invoke(train, [*map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return folder / "run"


@pytest.fixture(scope="module")
def package(run, folder):
    return build_package(run, folder / "packages", name="mine", version="1", licence="Apache-2.0")


@pytest.fixture(scope="module")
def predictor(package):
    return OnnxPredictor(ModelInfo.from_manifest(read_manifest(package), package))


def forecast(predictor, sequence, steps=3, **output):
    context = select_context(sequence, predictor.info)
    request = ForecastRequest.for_context(context, predictor.info, steps, output=ForecastOutput(**output))
    events = [event for event in predictor.forecast([request]) if event.frame is not None or event.error]
    errors = [event.error for event in events if event.error]
    assert not errors, errors
    return events


def test_validation_reports_probabilities_and_the_package_names_thresholds_and_cuts(run, package):
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    assert 0 < last["brier_2"] < 0.3
    assert 0 <= last["reliability_2"] < 1
    distribution = read_manifest(package).distribution
    assert distribution.thresholds_mm_h == (0.1, 0.5, 2, 5, 10)
    assert [cuts.lead_minutes for cuts in distribution.sharp_cuts] == list(LEAD_MINUTES)
    card = (package / "card.md").read_text()
    assert "exceedance probabilities at 0.1, 0.5, 2, 5, 10 mm/h" in card
    assert "| brier |" in card


def test_every_field_and_the_probabilities_are_of_one_distribution(predictor):
    storms = synthesise(frames=5, shape=(96, 130), step_minutes=5.0, seed=4)
    storms.rain_rate[:, :20, :30] = np.nan
    by_field = {field: forecast(predictor, storms, field=field) for field in ("expected", "median", "sharp")}
    events = forecast(predictor, storms, thresholds_mm_h=(0.1, 1.0, 5.0))
    for lead, event in enumerate(events):
        known = np.isfinite(event.frame)
        assert not known[:15, 5:25].any()
        assert (np.isfinite(event.probability) == known).all()
        chance = event.probability[:, known]
        assert chance.min() >= 0
        assert chance.max() <= 1
        assert (np.diff(chance, axis=0) <= 1e-6).all()
        assert np.array_equal(event.frame, by_field["sharp"][lead].frame, equal_nan=True)  # the default
        # The median reaches a threshold where its probability is at least one half, up to what moving smooths.
        median = by_field["median"][lead].frame[known]
        assert ((median >= 1.0) == (chance[1] >= 0.5)).mean() > 0.98
        assert by_field["expected"][lead].frame[known].mean() > 0


def test_probabilities_below_the_first_threshold_are_refused_or_left_out(predictor):
    distribution = Distribution(
        thresholds_mm_h=(0.5, 5.0), sharp_cuts=(SharpCuts(lead_minutes=5.0, probabilities=(0.4, 0.4)),)
    )
    info = predictor.info.model_copy(update={"distribution": distribution})
    output = ForecastOutput(thresholds_mm_h=(0.1, 0.5, 2.0), members=5)
    with pytest.raises(InputError, match=r"no probability of less than 0\.5 mm/h"):
        info.check_output(output)
    closest, note = info.closest_output(output)
    assert closest == ForecastOutput(thresholds_mm_h=(0.5, 2.0), members=5)
    assert "less than 0.5 mm/h" in note
    info.check_output(closest)


def test_tiles_give_the_probabilities_of_the_whole(package):
    storms = synthesise(frames=5, shape=(256, 544), step_minutes=5.0, seed=6)
    info = ModelInfo.from_manifest(read_manifest(package), package)
    whole, tiled = (
        OnnxPredictor(info, options=EngineOptions(device="cpu", memory_mb=memory, skip_dry=False))
        for memory in (2048, 6)
    )
    one, other = (
        np.stack([event.probability for event in forecast(each, storms, thresholds_mm_h=(0.5, 2.0))])
        for each in (whole, tiled)
    )
    assert np.nanmax(np.abs(one - other)) < 0.1
    assert np.nanmean(np.abs(one - other)) < 2e-3


def test_a_graph_whose_thresholds_are_not_those_of_the_manifest_is_refused(package, tmp_path):
    import shutil

    changed = tmp_path / "mine" / "2"
    shutil.copytree(package, changed)
    manifest = json.loads((changed / MANIFEST).read_text())
    for cuts in manifest["distribution"]["sharp_cuts"]:
        cuts["probabilities"] = cuts["probabilities"][:4]
    manifest["distribution"]["thresholds_mm_h"] = manifest["distribution"]["thresholds_mm_h"][:4]
    (changed / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BadPackage, match="probabilities of 5 thresholds, the manifest names 4"):
        OnnxPredictor(ModelInfo.from_manifest(read_manifest(changed), changed))


def test_weights_without_a_distribution_start_one(archive, tmp_path):
    """The frames are those of the package at first: only the planes of the distribution are new."""
    single = packed(RECIPES["rain-ms-predrnn"]().model, tmp_path, frame_of_reference="lagrangian").folder
    words = ("rain-ms-predrnn-distribution", "--archive", archive, "--out", tmp_path / "run", "--iterations", "1")
    words += ("--batch", "2", "--init", single, "--set", "windows.crop=64", "--set", "windows.margin=32")
    words += ("--set", "validation_windows=2", "--set", "bfloat16=false", "--set", "optimiser.learning_rate=1e-9")
    done = CliRunner().invoke(train, [*map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    import torch
    from safetensors.torch import load_file

    weights = torch.load(tmp_path / "run/best.pt", weights_only=True)["ema"]
    before = load_file(single / "weights.safetensors")
    name = "stack.embedding.output.weight"
    assert torch.allclose(weights[name][: len(before[name])], before[name], atol=1e-5)
    assert len(weights[name]) == len(before[name]) + 12
    assert (tmp_path / "run" / SHARP_CUTS).exists()


def test_a_field_loss_for_a_network_with_a_distribution_is_refused():
    recipe = RECIPES["rain-ms-predrnn-distribution"]()
    with pytest.raises(ValueError, match="only ExceedanceLoss"):
        replace(recipe, loss=RECIPES["rain-ms-predrnn"]().loss)
    with pytest.raises(ValueError, match="2 weights for 11 thresholds"):
        replace(recipe, loss=replace(recipe.loss, threshold_weights=(1.0, 1.0)))


def counts(shares):
    """Counts of 1000 pixels in each bin of one threshold, of which these shares have an event."""
    observed = 1000 * np.asarray(shares)
    histogram = np.broadcast_to(np.stack([1000 - observed, observed], axis=1), (len(LEAD_MINUTES), 1, BINS, 2)).copy()
    chance = (np.arange(BINS) + 0.5) / BINS
    squared = len(LEAD_MINUTES) * (observed * (1 - chance) ** 2 + (1000 - observed) * chance**2).sum()
    return ExceedanceCounts(
        histogram=histogram,
        probability=1000 * len(LEAD_MINUTES) * chance[None],
        squared=np.array([squared]),
        persisted=np.array([2 * squared]),
        entropy=np.array([0.3, 1.0]),
    )


def test_scores_of_calibrated_probabilities():
    chance = (np.arange(BINS) + 0.5) / BINS
    recipe = RECIPES["rain-ms-predrnn-distribution"]()
    recipe = replace(
        recipe,
        model=replace(recipe.model, thresholds_mm_h=(2.0, 60.0)),
        loss=replace(recipe.loss, threshold_weights=()),
        selection_thresholds_mm_h=(2.0,),
    )
    scores = exceedance_scores(counts(chance), recipe)
    assert scores["reliability_2"] == pytest.approx(0, abs=1e-9)
    assert scores["bias_2"] == pytest.approx(1)
    assert scores["brier_2"] == pytest.approx((chance * (1 - chance)).mean())
    assert scores["ratio"] == pytest.approx(1.5)


def test_a_cut_has_the_highest_csi_among_those_without_overforecasting():
    chance = (np.arange(BINS) + 0.5) / BINS
    found = sharp_cuts(counts(chance))
    cut = found[0]["probabilities"][0]
    # As many pixels lie above the cut as have an event, within the limit: one half here.
    assert cut == pytest.approx(0.48, abs=0.021)
    few = counts(chance)
    few.histogram[0] /= 1000
    assert sharp_cuts(few)[0]["probabilities"] == found[1]["probabilities"]  # those of all lead times


def test_cuts_are_interpolated_between_lead_times():
    cuts = [SharpCuts(lead_minutes=m, probabilities=(p, p / 2)) for m, p in ((5.0, 0.5), (15.0, 0.4))]
    distribution = Distribution(thresholds_mm_h=(0.5, 5.0), sharp_cuts=tuple(cuts))
    assert distribution.cuts_at(10.0) == pytest.approx((0.45, 0.225))
    assert distribution.cuts_at(120.0) == pytest.approx((0.4, 0.2))
    with pytest.raises(ValueError, match="sharp_cuts must hold 3"):
        Distribution(thresholds_mm_h=(0.5, 2.0, 5.0), sharp_cuts=tuple(cuts))
    with pytest.raises(ValueError, match="thresholds_mm_h must ascend"):
        Distribution(thresholds_mm_h=(5.0, 0.5), sharp_cuts=tuple(cuts))
    with pytest.raises(ValueError, match="lead_minutes of sharp_cuts must ascend"):
        Distribution(thresholds_mm_h=(0.5, 5.0), sharp_cuts=tuple(cuts[::-1]))
