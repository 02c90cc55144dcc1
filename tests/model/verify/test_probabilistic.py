"""The protocol of probabilities on small archives, with forecasts that are known."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from model.core.errors import InputError
from model.data.archive import Archive
from model.data.archive_writer import ArchiveWriter
from model.data.synthetic_storms import synthesise
from model.export.card import _tables
from model.verify.cli import verify as command
from model.verify.probabilistic.json_output import conclusion, json_output
from model.verify.probabilistic.protocol import NOWCAST_60_PROB
from model.verify.probabilistic.run import verify_probabilities
from model.verify.protocols import NOWCAST_60
from model.verify.run import verify
from model.verify.scores import contingency_tables
from model.verify.steps import MembersInfo
from tests.model.verify.given_distribution import GivenDistribution

THRESHOLDS = (0.1, 0.5, 2.0, 5.0, 10.0, 20.0)
TEN_MINUTES = np.timedelta64(10, "m")


@pytest.fixture(scope="module")
def storms(tmp_path_factory):
    """Two hours of storms at 10 min, three times, with three hours between them, over midnight."""
    rain = synthesise(frames=36, shape=(64, 80), step_minutes=10.0, seed=5)
    root = tmp_path_factory.mktemp("verify") / "storms"
    with ArchiveWriter(root, rain.grid, 10.0, {"source": "synthetic <storms>"}) as writer:
        for index, (time, frame) in enumerate(zip(rain.times, rain.rain_rate, strict=True)):
            writer.append(time + np.timedelta64(3 * (index // 12), "h"), frame)
    return Archive(root)


def truth_of(archive, request, step):
    return archive.read(request.sequence.reference_time + step * TEN_MINUTES)


def certain(archive, unknown=None):
    """Return a model that knows, to within a class of rain rates, what will come, and in its members exactly."""

    def give(request, step):
        truth = truth_of(archive, request, step)
        if unknown is not None:
            truth[:, unknown] = np.nan
        exceedance = np.stack([np.where(np.isfinite(truth), truth >= each, np.nan) for each in THRESHOLDS])
        count = request.output.members
        return exceedance.astype(np.float32), np.repeat(truth[None], count, axis=0) if count else None

    return GivenDistribution("certain", THRESHOLDS, give)


def constant(probability, name="constant"):
    """Return a model that forecasts the same probability of 0.1 to 2 mm/h everywhere, and no heavier rain."""

    def give(request, step):
        shape = request.sequence.grid.shape
        exceedance = np.zeros((len(THRESHOLDS), *shape), np.float32)
        exceedance[:3] = probability
        members = np.zeros((request.output.members, *shape), np.float32)
        members[: round(probability * len(members))] = 3.0
        return exceedance, members if len(members) else None

    return GivenDistribution(name, THRESHOLDS, give)


@pytest.fixture(scope="module")
def scored(storms):
    return verify_probabilities(storms, [certain(storms), constant(0.25)], NOWCAST_60_PROB.with_options(members=8))


def test_a_model_without_what_is_scored_is_refused(storms):
    heavy = GivenDistribution("heavy", (0.5, 5.0), lambda request, step: None)
    with pytest.raises(InputError, match=r"heavy@1 forecasts no probability of less than 0\.5 mm/h"):
        verify_probabilities(storms, [heavy], NOWCAST_60_PROB)
    only_members = constant(0.25)
    only_members.info = MembersInfo(**{**vars(only_members.info), "distribution": None})
    with pytest.raises(InputError, match="no probabilities but the shares of members"):
        verify_probabilities(storms, [only_members], NOWCAST_60_PROB.with_options(members=0))


def test_what_is_certain_and_right_has_no_error(scored):
    for source in ("probabilities", "members"):
        assert scored.mean_brier("certain@1", source).value == pytest.approx(np.zeros(5), abs=1e-12)
        assert scored.largest_deviation("certain@1", source)[0] == pytest.approx(np.zeros(5), abs=1e-6)
        assert scored.mean_roc_area("certain@1", source).value == pytest.approx(np.ones(5))
    assert scored.mean_crps("certain@1", "members").value == pytest.approx(0, abs=1e-9)
    areas = scored.area_scores("certain@1")
    assert (areas["crps"].value, areas["energy"].value) == pytest.approx((0, 0), abs=1e-6)
    fields = scored.field_scores("certain@1", "sharp")
    assert fields["csi"].value == pytest.approx(np.ones(5))
    assert fields["bias"].value == pytest.approx(np.ones(5))


def test_a_constant_probability_scores_by_hand(scored):
    pixels = scored.pixels("constant@1")
    share = scored.events("constant@1").sum(axis=0) / pixels.sum()
    p = 0.25
    for row in range(3):
        by_lead = scored.brier("constant@1", "probabilities").value[row]
        expected = (p * p - 2 * p * share[row] + share[row]) * pixels.sum()
        assert np.vdot(by_lead, pixels) == pytest.approx(expected, rel=1e-6)
        # Two of eight members: without the penalty for their number.
        fair = scored.brier("constant@1", "members").value[row]
        assert by_lead - fair == pytest.approx(np.full(6, p * (1 - p) / 7), rel=1e-6)
        curve = scored.reliability_curve("constant@1", "probabilities")
        assert curve.pixels[row][2] == pixels.sum()
        assert (curve.forecast[row][2], curve.observed[row][2]) == pytest.approx((p, share[row]))
        assert scored.largest_deviation("constant@1", "probabilities")[0][row] == pytest.approx(abs(p - share[row]))
    terms = scored.decomposition("constant@1", "probabilities")
    assert terms[1] == pytest.approx(np.zeros_like(terms[1]), abs=1e-12)  # no resolution
    whole = terms[0] - terms[1] + terms[2] + terms[3]
    assert whole == pytest.approx(scored.brier("constant@1", "probabilities").value)


def test_a_field_as_it_is_counts_as_0_or_1(storms, scored):
    found = scored.field_scores("certain@1", "median")
    assert found["brier"].value == pytest.approx(np.zeros(5))
    persistence = scored.field_scores("persistence@1", "deterministic")
    plain = verify(storms, [], NOWCAST_60)
    assert persistence["csi"].value[1:] == pytest.approx(plain.mean_intervals("persistence@1", "csi").value)
    assert persistence["mae"].value == pytest.approx(np.nanmean(plain.errors("persistence@1")["mae_mm_h"]))
    tables = contingency_tables(
        plain.sums["persistence@1"]["joint_histogram"].sum(axis=0), plain.accumulators.threshold_indices
    )
    wrong = (tables["fn_count"] + tables["fp_count"]) / scored.pixels("persistence@1")
    assert persistence["brier"].value[1:] == pytest.approx(wrong.mean(axis=-1))


def test_models_without_a_distribution_are_scored_by_their_neighbourhood(scored):
    assert scored.methods == {
        "certain@1": "distribution",
        "constant@1": "distribution",
        "persistence@1": "neighbourhood",
        "extrapolation@1": "neighbourhood-calibrated",
    }
    neighbourhood = scored.mean_brier("extrapolation@1", "probabilities").value
    as_it_is = scored.field_scores("extrapolation@1", "deterministic")["brier"].value
    assert (neighbourhood[:3] < as_it_is[:3]).all()
    assert scored.sources("extrapolation@1") == ("probabilities", "members")


def test_models_are_told_apart_by_paired_intervals(scored, storms):
    found = scored.brier_difference("certain@1", "constant@1", 0.5)
    assert conclusion(found) == "lower"
    assert conclusion(scored.brier_difference("constant@1", "certain@1", 0.5)) == "higher"
    assert conclusion(scored.crps_difference("certain@1", "persistence@1")) == "lower"
    twin = verify_probabilities(
        storms, [constant(0.25), constant(0.25, "twin")], NOWCAST_60_PROB.with_options(members=0)
    )
    assert conclusion(twin.brier_difference("constant@1", "twin@1", 0.5)) == "cannot be told apart"
    output = json_output(twin)["models"]["constant@1"]["differences"]["twin@1"]
    assert output["brier"][1] == {"value": 0.0, "low": 0.0, "high": 0.0, "conclusion": "cannot be told apart"}


def test_the_better_member_ensemble_has_the_flatter_ranks(scored):
    every, wet = scored.ranks("constant@1")
    assert every.sum() == scored.pixels("constant@1").sum()
    assert 0 < wet.sum() <= every.sum()


def test_what_one_model_does_not_know_is_scored_for_none(storms, scored):
    protocol = NOWCAST_60_PROB.with_options(members=8)
    missing = verify_probabilities(storms, [certain(storms, unknown=slice(0, 40)), constant(0.25)], protocol)
    assert missing.pixels("constant@1") == pytest.approx(missing.pixels("certain@1"))
    assert missing.pixels("constant@1").sum() < 0.6 * scored.pixels("constant@1").sum()
    assert missing.mean_brier("certain@1", "probabilities").value == pytest.approx(np.zeros(5), abs=1e-12)
    assert missing.area_counts("constant@1")[0] < scored.area_counts("constant@1")[0]


def test_a_window_is_scored_alone_and_named(storms):
    protocol = NOWCAST_60_PROB.with_options(members=0, window_px=32, stride_minutes=120)
    assert protocol.name == "nowcast-60-prob@1 members=0 window=32 stride=120"
    small = verify_probabilities(storms, [certain(storms)], protocol)
    assert small.pixels("certain@1").max() <= small.starts * 32 * 32
    assert small.mean_brier("certain@1", "probabilities").value == pytest.approx(np.zeros(5), abs=1e-12)
    assert small.sources("certain@1") == ("probabilities",)


def test_memory_does_not_grow_with_start_times(scored):
    assert scored.blocks < scored.starts
    for accumulators in scored.accumulators.values():
        assert {values.shape[0] for values in accumulators.sums.values()} <= {1, scored.blocks}


def test_large_domains_are_scored_in_parts(storms, monkeypatch):
    protocol = NOWCAST_60_PROB.with_options(members=4, stride_minutes=400)
    whole = verify_probabilities(storms, [constant(0.25)], protocol).accumulators["constant@1"].sums
    monkeypatch.setattr("model.verify.probabilistic.accumulators.PIXELS_AT_ONCE", 1000)
    parts = verify_probabilities(storms, [constant(0.25)], protocol).accumulators["constant@1"].sums
    for name, sums in whole.items():
        assert parts[name].sum() == pytest.approx(sums.sum(), rel=1e-6), name


def run(*words, columns=80):
    return CliRunner(env={"COLUMNS": str(columns)}).invoke(command, [str(word) for word in words])


def test_tables_json_and_page(storms, tmp_path):
    words = ("--archive", storms.root, "--protocol", "nowcast-60-prob", "--window", 48)
    result = run(*words, "--report", tmp_path)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "nowcast-60-prob@1 window=48" in result.stdout
    assert "…" not in result.stdout
    output = json.loads((tmp_path / "verification.json").read_text())
    assert output["window_px"] == [48, 48]
    scores = output["models"]["extrapolation@1"]
    assert np.shape(scores["probabilities"]["brier"]) == (5, 6)
    assert scores["pixels"][0] > 0
    low, value, high = (scores["probabilities"]["brier_mean"][key][0] for key in ("low", "value", "high"))
    assert low <= value <= high
    assert f"{value:.4f}".replace("0.", ".") in result.stdout
    page = (tmp_path / "verification.html").read_text()
    assert f"{value:.4f}" in page
    assert "synthetic &lt;storms&gt;" in page
    assert page.count("<svg") >= 4
    assert 'src="http' not in page


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--protocol", "nowcast-60-prob", "--members", 1), "members is 1"),
        (("--protocol", "nowcast-60-prob", "--window", 5), "window is 5"),
        (("--protocol", "nowcast-60-prob", "--stride-minutes", 0), "stride is 0 min"),
        (("--window", 384), "belong to --protocol nowcast-60-prob"),
    ],
)
def test_bad_options_are_refused(storms, words, what):
    result = run("--archive", storms.root, *words)
    assert result.exit_code != 0
    assert what in (str(result.exception) if isinstance(result.exception, InputError) else result.output)


def test_the_card_and_the_manifest_hold_the_scores(scored):
    output = json_output(scored)
    lines = list(_tables(output, seen=False, known=False))
    brier = output["models"]["constant@1"]["probabilities"]["brier_mean"]
    cell = "{:.4f} ({:.4f} to {:.4f})".format(*(brier[name][1] for name in ("value", "low", "high")))
    (row,) = (line for line in lines if line.startswith("| constant@1, distribution |") and "(" in line)
    assert cell in row
    pytest.importorskip("torch")
    from model.export.run import _scores_of

    found = {(score.metric, score.threshold_mm_h): score.value for score in _scores_of([output], "constant@1")}
    assert found["Brier score of constant@1, mean over leads", 0.5] == brier["value"][1]
    assert ("CRPS (mm/h) of extrapolation@1, mean over leads", None) in found
