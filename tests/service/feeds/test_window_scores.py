"""Scores of a window in which the models have no case in common: none, and no error."""

import numpy as np

from service.feeds.skill.scores import WindowScores
from service.feeds.skill.window import collect


def test_models_without_a_common_case_have_no_scores():
    found = WindowScores(collect((), ("network@1", "extrapolation@1"), origin="reference", bins=False))
    assert found.window.blocks == ()
    assert not np.isfinite(found.difference("csi", "network@1", "extrapolation@1").value).any()
