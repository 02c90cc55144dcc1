"""Each gate refusing and each gate letting through, from contingency counts put in by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from model.core.aliases import Gate
from model.core.promotion import refusals
from model.data.archive import Archive
from model.data.archive_writer import ArchiveWriter
from model.data.synthetic_storms import synthesise
from model.registry.evaluation import observed_events
from model.registry.gates import (
    csi_gate,
    discount_seen_days,
    extrapolation_gates,
    insufficient_rain,
    latency_gate,
)
from model.verify.protocols import NOWCAST_60
from model.verify.verification import Verification

ALL_CONCLUSIVE = dict.fromkeys(NOWCAST_60.thresholds_mm_h, "")
LEADS = tuple(10.0 * lead for lead in range(1, 7))
Counts = tuple[int, int, int]
"""Hits, misses, false alarms of a block, at each lead."""


@pytest.fixture(scope="module")
def verification(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Verification]:
    """Makes a verification of the counts of each model, by the threshold that its rain is just above, by block."""
    storm = synthesise(frames=1, shape=(64, 64), step_minutes=10.0, seed=1)
    root = tmp_path_factory.mktemp("archives") / "storms"
    with ArchiveWriter(root, storm.grid, 10.0, {}) as writer:
        writer.append(storm.times[0], storm.rain_rate[0])

    def make(models: Mapping[str, Mapping[float, list[Counts]]], leads: tuple[float, ...] = LEADS) -> Verification:
        accumulators = NOWCAST_60.accumulators(leads, (64, 64))
        blocks = len(next(iter(next(iter(models.values())).values())))
        sums = {}
        for model, by_threshold in models.items():
            sums[model] = accumulators.zeros(blocks)
            classes = sums[model]["joint_histogram"]
            for threshold, counts in by_threshold.items():
                above = accumulators.threshold_indices[NOWCAST_60.thresholds_mm_h.index(threshold)] + 1
                for block, (hits, misses, false_alarms) in enumerate(counts):
                    classes[block, above, above] += hits
                    classes[block, 0, above] += misses
                    classes[block, above, 0] += false_alarms
        return Verification(
            protocol=NOWCAST_60,
            accumulators=accumulators,
            lead_minutes=leads,
            days=tuple(f"2026-06-{day:02d}" for day in range(1, blocks + 1)),
            blocks=blocks,
            short_blocks=False,
            starts=blocks,
            archive=Archive(root),
            sums=sums,
            variants=dict.fromkeys(models, "numpy"),
            weights={},
            seconds_per_nowcast=dict.fromkeys(models, 1.0),
        )

    return make


GOOD: list[Counts] = [(800, 100, 100), (400, 60, 40), (600, 50, 150), (900, 100, 50)]
BAD: list[Counts] = [(500, 400, 100), (300, 160, 40), (300, 350, 150), (400, 600, 50)]
UNSTEADY: list[Counts] = [(880, 20, 20), (250, 210, 40), (640, 10, 100), (700, 300, 60)]
"""Better than GOOD on some days, worse on others; worse in sum."""


def test_a_model_below_the_champion_on_every_day_fails_and_one_above_passes(verification):
    scored = verification({"new": {10.0: BAD}, "old": {10.0: GOOD}})
    gate = csi_gate(scored, "new", "old", 10.0, "", "storms")
    assert gate.passed is False
    assert gate.value == pytest.approx(-1200 / 3350)
    assert gate.high is not None
    assert gate.high < 0
    assert "the interval lies below 0" in gate.note
    assert csi_gate(scored, "old", "new", 10.0, "", "storms").passed is True


def test_a_model_that_is_below_by_less_than_the_interval_passes(verification):
    scored = verification({"new": {2.0: UNSTEADY}, "old": {2.0: GOOD}})
    gate = csi_gate(scored, "new", "old", 2.0, "", "storms")
    assert gate.passed is True
    assert gate.value is not None
    assert gate.low is not None
    assert gate.high is not None
    assert gate.low < gate.value < 0 < gate.high


def test_a_threshold_without_events_is_inconclusive(verification):
    scored = verification({"new": {2.0: GOOD}, "old": {2.0: GOOD}})
    assert csi_gate(scored, "new", "old", 2.0, "", "storms").passed is True
    gate = csi_gate(scored, "new", "old", 10.0, "", "storms")
    assert (gate.passed, gate.value) == (None, None)
    assert refusals([gate]) == ["CSI at 10 mm/h beside old is inconclusive"]


def test_a_gate_without_an_interval_is_inconclusive(verification):
    scored = verification({"new": {10.0: GOOD[:2]}, "old": {10.0: BAD[:2]}})
    found = scored.csi_difference("new", "old", 10.0)
    assert found.value > 0
    gate = csi_gate(scored, "new", "old", 10.0, "", "storms")
    assert (gate.passed, gate.note) == (None, "the archive has too few blocks of time for an interval")
    assert refusals([gate]) == ["CSI at 10 mm/h beside old is inconclusive"]
    assert "in 2 blocks of time" in insufficient_rain(observed_events(scored, "new")[:, 3])


def test_models_are_compared_at_the_leads_where_both_have_a_score(verification):
    scored = verification({"silent": {10.0: GOOD}, "other": {10.0: GOOD}})
    for sums in scored.sums.values():
        sums["joint_histogram"][..., -1] = 0  # nothing fell at the last lead
    scored.sums["other"]["joint_histogram"][1, -1, 0, -1] = 1  # and of one model a single false alarm was there
    assert scored.csi("other")[3, -1] == 0
    for one, two in (("silent", "other"), ("other", "silent")):
        difference = scored.csi_difference(one, two, 10.0)
        assert (difference.low, difference.value, difference.high) == (0, 0, 0)
        ratio = scored.csi_ratio(one, two).at(3)
        assert (ratio.low, ratio.value, ratio.high) == (1, 1, 1)


def test_heavy_rain_must_fall_on_several_days_and_on_many_pixels(verification):
    plenty, once, few = [(90, 5, 5)] * 4, [(900, 50, 50), *[(0, 0, 0)] * 3], [(9, 1, 0)] * 4
    for counts, message in ((plenty, ""), (once, "5700 pixels in 1 blocks"), (few, "240 pixels in 4 blocks")):
        events = observed_events(verification({"new": {10.0: counts}}), "new")
        assert events.shape == (4, 4)
        assert message in insufficient_rain(events[:, 3])
        assert bool(message) == bool(insufficient_rain(events[:, 3]))


def test_the_mean_and_heavy_rain_must_both_beat_extrapolation_at_both_leads(verification):
    weak_heavy = {0.5: GOOD, 10.0: BAD}
    models = {"new": weak_heavy, "still": {0.5: BAD, 10.0: GOOD}}
    gates = extrapolation_gates(verification(models), "new", "still", ALL_CONCLUSIVE, "storms")
    assert [gate.what for gate in gates] == [
        "CSI mean over thresholds at 30 min beside extrapolation",
        "CSI at 10 mm/h at 30 min beside extrapolation",
        "CSI mean over thresholds at 60 min beside extrapolation",
        "CSI at 10 mm/h at 60 min beside extrapolation",
    ]
    assert [gate.passed for gate in gates if "10 mm/h" in gate.what] == [False, False]
    better = verification({"new": {10.0: GOOD}, "still": {10.0: BAD}})
    gates = extrapolation_gates(better, "new", "still", ALL_CONCLUSIVE, "storms")
    assert [gate.passed for gate in gates] == [True] * 4
    assert gates[1].value == pytest.approx(1200 / 3350)
    equal = extrapolation_gates(better, "new", "new", ALL_CONCLUSIVE, "storms")
    assert [gate.passed for gate in equal] == [False] * 4


def test_notes_name_too_little_heavy_rain_and_missing_leads(verification):
    scored = verification({"new": {10.0: GOOD}, "still": {10.0: BAD}}, leads=(15.0, 30.0, 45.0))
    gates = extrapolation_gates(scored, "new", "still", {**ALL_CONCLUSIVE, 10.0: "too dry"}, "storms")
    assert [(gate.passed, gate.note) for gate in gates] == [
        (True, "without 10 mm/h, of which the archive holds too little"),
        (None, "too dry"),
        (None, "the protocol's leads do not reach it"),
        (None, "the protocol's leads do not reach it"),
    ]
    assert len(refusals(gates)) == 3


def test_the_mean_over_thresholds_leaves_inconclusive_ones_out(verification):
    # Below extrapolation wherever there is enough rain, above it in the little heavy rain there is.
    models = {"new": {0.5: BAD, 10.0: [(10, 0, 0)] * 4}, "still": {0.5: GOOD, 10.0: [(0, 10, 0)] * 4}}
    scored = verification(models)
    inconclusive = {0.5: "", 2.0: "too dry", 5.0: "too dry", 10.0: "too dry"}
    assert extrapolation_gates(scored, "new", "still", ALL_CONCLUSIVE, "storms")[0].passed is True
    mean, heavy = extrapolation_gates(scored, "new", "still", inconclusive, "storms")[:2]
    assert mean.passed is False
    assert mean.value == pytest.approx(scored.csi("new")[0, 2] - scored.csi("still")[0, 2])
    assert mean.note == "without 2, 5, 10 mm/h, of which the archive holds too little"
    assert (heavy.passed, heavy.note) == (None, "too dry")
    for gate in extrapolation_gates(scored, "new", "still", dict.fromkeys(inconclusive, "too dry"), "storms"):
        assert (gate.passed, gate.value) == (None, None)


def test_training_days_of_the_candidate_turn_a_pass_into_inconclusive_and_keep_a_failure():
    gates = [Gate(gate="csi", what=f"CSI at {mm} mm/h", passed=passed) for mm, passed in ((1, True), (2, False))]
    gates.append(Gate(gate="extrapolation", what="CSI at 30 min", passed=True, note="without 10 mm/h"))
    assert discount_seen_days(gates, "", "") == gates
    found = discount_seen_days(gates, "it was trained on 1 of these 3 days", "")
    assert [gate.passed for gate in found] == [None, False, None]
    assert found[2].note == "without 10 mm/h; it was trained on 1 of these 3 days: no gate passes on such days"
    assert len(refusals(found)) == 3


def test_training_days_of_the_champion_turn_a_failure_into_inconclusive_and_keep_a_pass():
    gates = [Gate(gate="csi", what=f"CSI at {mm} mm/h", passed=passed) for mm, passed in ((1, True), (2, False))]
    gates.append(Gate(gate="extrapolation", what="CSI at 30 min", passed=False))
    found = discount_seen_days(gates, "", "the champion was trained on 1 of these 3 days")
    assert [gate.passed for gate in found] == [True, None, False]
    assert "the champion was trained on 1 of these 3 days, which gives it an advantage" in found[1].note
    assert found[2] == gates[2]


def test_latency_compares_the_median_with_the_limit():
    assert latency_gate([0.2, 9.0, 0.3], 0.3, "storms", "").passed is True
    gate = latency_gate([0.2, 9.0, 0.3], 0.001, "storms", "6 leads")
    assert (gate.passed, gate.value, gate.limit) == (False, 0.3, 0.001)
    assert latency_gate([], 1.0, "storms", "").passed is None


def test_of_several_archives_one_must_pass_and_none_fail():
    def gates(*passed: bool | None) -> list[Gate]:
        return [Gate(gate="csi", what="CSI at 10 mm/h", archive=f"a{n}", passed=p) for n, p in enumerate(passed)]

    assert refusals(gates(True, None)) == []
    assert refusals(gates(None, None)) == ["CSI at 10 mm/h on a0 is inconclusive"]
    assert refusals(gates(True, False)) == ["CSI at 10 mm/h on a1"]
    assert refusals(gates(False)) == ["CSI at 10 mm/h"]
