"""Checks and conversions that every reader shares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.core.errors import MixedGrids, NotARadarFile, TooLarge
from model.core.interrupt import Interrupted
from model.core.zr import FMI, MARSHALL_PALMER
from model.readers.limits import PixelBudget, check_size
from model.readers.rain_rate import rain_rate_of_accumulation, rain_rate_of_reflectivity
from model.readers.source import ReadOptions, Source, input_errors

SOURCE = Source(path=Path("/tmp/upload-1"), name="theirs.h5")


@pytest.mark.parametrize("error", [OSError("/tmp/upload-1: truncated\nfile"), KeyError("x"), RuntimeError()])
def test_what_a_library_raises_becomes_one_line_with_the_users_name(error: Exception) -> None:
    with pytest.raises(NotARadarFile) as caught, input_errors(SOURCE, "KNMI HDF5"):
        raise error
    text = str(caught.value)
    assert text.startswith("theirs.h5: the file cannot be read as KNMI HDF5: ")
    assert "upload-1" not in text
    assert "\n" not in text
    assert caught.value.__cause__ is error


def test_an_input_error_keeps_its_kind_and_gains_the_name() -> None:
    with pytest.raises(MixedGrids) as caught, input_errors(SOURCE, "x"):
        raise MixedGrids("what", where="grid", hint="hint")
    assert str(caught.value) == "theirs.h5 (grid): what. hint"


def test_a_lack_of_memory_is_too_large() -> None:
    with pytest.raises(TooLarge, match=r"theirs\.h5"), input_errors(SOURCE, "x"):
        raise MemoryError


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, Interrupted])
def test_an_interrupt_passes(interrupt: type[BaseException]) -> None:
    assert not issubclass(interrupt, Exception)
    with pytest.raises(interrupt), input_errors(SOURCE, "x"):
        raise interrupt


@pytest.mark.parametrize("shape", [(20_000, 20_000), (1000, 3000, 3000), (2**40, 2**40), (100_001, 2, 2)])
def test_unreasonable_sizes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(TooLarge):
        check_size(*shape)


def test_the_largest_known_composite_passes() -> None:
    check_size(36, 3500, 7000)
    with pytest.raises(NotARadarFile):
        check_size(0, 10, 10)


def test_a_budget_counts_what_was_taken() -> None:
    budget = PixelBudget(max_pixels=100)
    budget.take(1, 10, 6)
    budget.check(1, 10, 4)
    with pytest.raises(TooLarge, match=r"1 x 10 x 5 pixels after 60 of earlier files, .* 100 in all"):
        budget.take(1, 10, 5)
    budget.take(1, 10, 4)
    assert budget.taken == 100


def test_faint_echo_is_dry_and_no_data_stays() -> None:
    dbz = np.array([-np.inf, -31.5, -10.5, 0.0, 40.0, np.nan], np.float32)
    rain, attributes = rain_rate_of_reflectivity(dbz.copy(), ReadOptions(), FMI)
    assert rain[:3].tolist() == [0, 0, 0]
    assert rain[3] > 0
    assert rain[4] == pytest.approx((1e4 / 223) ** (1 / 1.53), rel=1e-5)
    assert np.isnan(rain[5])
    assert attributes["zr_relation"] == "fmi: Z = 223 R^1.53"
    assert rain_rate_of_reflectivity(dbz, ReadOptions(), MARSHALL_PALMER)[0][4] != rain[4]


def test_a_period_must_be_positive() -> None:
    assert rain_rate_of_accumulation(np.float32([1]), np.timedelta64(15, "m"))[0] == 4
    with pytest.raises(NotARadarFile, match="period"):
        rain_rate_of_accumulation(np.float32([1]), np.timedelta64(0, "m"))
