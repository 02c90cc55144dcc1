"""Gates of probabilities: a candidate beside the champion, and a variant beside float32."""

from __future__ import annotations

import numpy as np
import pytest

from model.core.model_info import EXTRAPOLATION
from model.core.promotion import refusals
from model.data.archive import Archive
from model.data.archive_writer import ArchiveWriter
from model.data.synthetic_storms import synthesise
from model.registry.alias_commands import _limit
from model.registry.evaluation import _probability_gates
from model.registry.gates import discount_seen_days, probability_gates
from model.registry.variants import VariantRefused, brier_gates, check_variant_gates
from model.runtime.baselines import Extrapolation
from model.verify.probabilistic.protocol import NOWCAST_60_PROB
from model.verify.probabilistic.run import verify_probabilities
from model.verify.protocols import NOWCAST_60
from model.verify.run import verify
from tests.model.verify.given_distribution import GivenDistribution

THRESHOLDS = (0.1, 0.5, 2.0, 5.0, 10.0, 20.0)
PROTOCOL = NOWCAST_60_PROB.with_options(members=0)
CONCLUSIVE = dict.fromkeys(NOWCAST_60.thresholds_mm_h, "")


@pytest.fixture(scope="module")
def storms(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Two hours of storms at 10 min, five times, with three hours between them."""
    rain = synthesise(frames=60, shape=(48, 56), step_minutes=10.0, seed=5)
    root = tmp_path_factory.mktemp("archives") / "storms"
    with ArchiveWriter(root, rain.grid, 10.0, {}) as writer:
        for index, (time, frame) in enumerate(zip(rain.times, rain.rain_rate, strict=True)):
            writer.append(time + np.timedelta64(3 * (index // 12), "h"), frame)
    return Archive(root)


def knows(archive: Archive, share: float, name: str) -> GivenDistribution:
    """A model that forecasts the truth with a probability of `share` where it rains, and of 1 - `share` elsewhere."""

    def give(request, step):
        truth = archive.read(request.sequence.reference_time + np.timedelta64(10 * step, "m"))
        above = np.stack([truth >= threshold for threshold in THRESHOLDS])
        return np.where(above, np.float32(share), np.float32(1 - share)), None

    return GivenDistribution(name, THRESHOLDS, give)


def test_a_model_with_worse_probabilities_fails_and_a_better_one_passes(storms):
    models = [knows(storms, 0.9, "sure"), knows(storms, 0.8, "unsure"), knows(storms, 0.8, "twin")]
    scored = verify_probabilities(storms, models, PROTOCOL)
    failed = probability_gates(scored, "unsure@1", "sure@1", CONCLUSIVE, "storms")
    assert [gate.gate for gate in failed] == ["brier"] * 4 + ["crps"]
    assert [gate.passed for gate in failed] == [False] * 5
    assert failed[0].value == pytest.approx(0.2**2 - 0.1**2, rel=1e-5)
    assert "Brier score at 2 mm/h beside sure@1" in refusals(failed)
    assert "CRPS (mm/h) beside sure@1" in refusals(failed)
    assert {gate.note for gate in failed} == {"the interval lies above 0"}
    assert {_limit(gate) for gate in failed} == {"interval reaches 0"}
    passed = probability_gates(scored, "sure@1", "unsure@1", CONCLUSIVE, "storms")
    assert [gate.passed for gate in passed] == [True] * 5
    alike = probability_gates(scored, "unsure@1", "twin@1", CONCLUSIVE, "storms")
    assert [gate.passed for gate in alike] == [True] * 5


def test_too_little_rain_is_inconclusive_and_seen_days_are_discounted(storms):
    scored = verify_probabilities(storms, [knows(storms, 0.9, "sure"), knows(storms, 0.8, "unsure")], PROTOCOL)
    gates = probability_gates(scored, "unsure@1", "sure@1", {0.5: "", 10.0: "too little"}, "storms")
    assert [gate.passed for gate in gates] == [False, None, False]
    none = probability_gates(scored, "unsure@1", "sure@1", {10.0: "too little"}, "storms")
    assert [(gate.passed, gate.note) for gate in none] == [(None, "too little")] * 2
    discounted = discount_seen_days(gates, "", "the champion was trained on 1 day")
    assert [gate.passed for gate in discounted] == [None] * 3


def test_a_champion_without_a_distribution_is_compared_by_its_neighbourhood(storms):
    model, champion = knows(storms, 0.99, "sure"), Extrapolation()
    scored = verify(storms, [model, champion], NOWCAST_60)
    gates = _probability_gates(scored, storms, model, champion, "", lambda what, done, total: None)
    assert [gate.what for gate in gates][-1] == f"CRPS (mm/h) beside {EXTRAPOLATION.reference}"
    assert gates[0].passed is True
    assert gates[0].high is not None
    assert gates[0].high < 0
    absent = _probability_gates(scored, storms, model, champion, "it needs 9 frames", lambda what, done, total: None)
    assert {gate.passed for gate in absent} == {None}
    assert "does not fit this archive: it needs 9 frames" in absent[0].note


def test_a_variant_with_other_probabilities_is_refused(storms):
    models = [knows(storms, 0.9, "fp32"), knows(storms, 0.9001, "close"), knows(storms, 0.88, "off")]
    scored = verify_probabilities(storms, models, PROTOCOL)
    close = brier_gates(scored, "fp32@1", "close@1", "int8", "storms", CONCLUSIVE)
    assert [gate.passed for gate in close] == [True] * 4
    check_variant_gates("m@1", close)
    off = brier_gates(scored, "fp32@1", "off@1", "int8", "storms", CONCLUSIVE)
    assert off[0].figures == pytest.approx((0.01, 0.0144, 0.44), rel=1e-4)
    with pytest.raises(VariantRefused, match=r"on storms Brier score at 0.5 mm/h is 0.0100 in float32 and 0.0144"):
        check_variant_gates("m@1", off)
    unknown = brier_gates(scored, "fp32@1", "off@1", "int8", "storms", dict.fromkeys(CONCLUSIVE, "too little"))
    with pytest.raises(VariantRefused, match="no archive holds enough rain"):
        check_variant_gates("m@1", unknown)
