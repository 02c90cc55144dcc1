"""The model for an input: the requested one, or for `auto` the first that fits; and the note that explains it."""

import pytest

from model.core.catalog import SHIPPED_PACKAGES, Catalog
from model.core.errors import IrregularTimeStep, TooFewFrames
from model.core.model_info import EXTRAPOLATION
from model.data.synthetic_storms import synthesise
from model.runtime.model_selection import select_model
from tests.packages import copied, crown


def storms(frames=5, step=5.0):
    return synthesise(frames=frames, shape=(96, 130), step_minutes=step, seed=4)


def test_auto_takes_the_network_where_it_fits():
    info, _, note = select_model(storms(), "auto", Catalog())
    assert (info.name, note) == ("rain-ms-predrnn", "")


def test_auto_falls_back_to_extrapolation_and_notes_why():
    info, _, note = select_model(storms(step=30.0), "auto", Catalog())
    assert info is EXTRAPOLATION
    assert "30 min" in note
    info, _, note = select_model(storms(frames=3), "auto", Catalog())
    assert info is EXTRAPOLATION
    assert "4 frames" in note


def test_auto_is_the_champion_where_it_fits_then_the_default_model(tmp_path):
    crown(copied(tmp_path, "mine@1", time_step={"min_minutes": 10, "max_minutes": 15}))
    catalog = Catalog((SHIPPED_PACKAGES, tmp_path))
    info, _, note = select_model(storms(step=10.0), "auto", catalog)
    assert (info.reference, note) == ("mine@1", "")
    info, _, note = select_model(storms(step=5.0), "auto", catalog)
    assert info.name == "rain-ms-predrnn"
    assert "mine@1 does not fit the input: the model needs 4 frames, the input has 3, 10 min apart" in note
    info, _, note = select_model(storms(step=30.0), "auto", catalog)
    assert info is EXTRAPOLATION
    assert "mine@1 does not fit" in note
    with pytest.raises(TooFewFrames, match="needs 4 frames, the input has 3, 10 min apart"):
        select_model(storms(step=5.0), "champion", catalog)
    thinned = select_model(storms(step=5.0, frames=7), "champion", catalog).context
    assert (len(thinned), thinned.time_step_minutes()) == (4, 10)


def test_auto_notes_a_missing_default_package(tmp_path):
    info, _, note = select_model(storms(), "auto", Catalog((tmp_path,)))
    assert info is EXTRAPOLATION
    assert "rain-ms-predrnn is not installed" in note


def test_two_frames_suffice_for_extrapolation_and_one_for_nothing():
    info, context, note = select_model(storms(frames=2), "auto", Catalog())
    assert (info, len(context)) == (EXTRAPOLATION, 2)
    assert "needs 4 frames, the input has 2" in note
    with pytest.raises(TooFewFrames, match="needs 2 frames, the input has 1"):
        select_model(storms(frames=1), "auto", Catalog())


def test_a_named_model_must_fit():
    with pytest.raises(IrregularTimeStep, match=r"30 min.*2 to 15"):
        select_model(storms(step=30.0), "rain-ms-predrnn", Catalog())
