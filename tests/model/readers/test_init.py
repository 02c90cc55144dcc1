"""`model.readers.read`: behaviour common to all formats."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model.core.errors import InputError, NotARadarFile
from model.readers import read

Write = Callable[..., Path]


def test_nothing_is_no_input() -> None:
    with pytest.raises(NotARadarFile, match="no file holds a radar frame"):
        read([])


def test_each_file_has_one_name(write_knmi: Write) -> None:
    with pytest.raises(InputError, match="1 files came with 2 names"):
        read([write_knmi()], names=["a", "b"])


def test_an_unknown_relation_is_refused_whatever_the_format(write_knmi: Write) -> None:
    with pytest.raises(InputError, match=r"unknown Z-R relation 'mine'.*Choose one of marshall-palmer"):
        read([write_knmi()], zr="mine")


def test_attributes_are_text_and_times_are_nanoseconds(write_knmi: Write) -> None:
    sequence = read([write_knmi()])
    assert all(isinstance(value, str) for value in sequence.attributes.values())
    assert sequence.times.dtype == np.dtype("datetime64[ns]")
    assert sequence.rain_rate.dtype == np.float32


def test_importing_loads_no_decoder() -> None:
    decoders = "{'h5py', 'netCDF4', 'eccodes', 'torch', 'PIL', 'pint', 'cf_xarray'}"
    script = f"import sys, model.readers; print(sorted({decoders} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_a_sequence_goes_through_a_file_and_back(real_data: Path, tmp_path: Path) -> None:
    before = read(sorted((real_data / "knmi").glob("*.h5"))[:2])
    before.to_dataset().to_netcdf(tmp_path / "x.nc")
    after = read([tmp_path / "x.nc"])
    assert after.digest() == before.digest()
    assert dict(after.attributes) == dict(before.attributes)
    assert after.grid.matches(before.grid)
