"""What files of a few kB or MB may declare before a reader refuses them, without a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.core.errors import InputError
from model.readers import read
from tests.faults.hostile_files import HostileFile, hostile_files

WORDS = {
    "netCDF: chunks_of_one_pixel": "9,000,000 chunks",
    "netCDF: fill_value_alone": "of which the file stores 0",
    "netCDF: a_billion_by_a_billion": "1000000000 x 1000000000 pixels",
    "netCDF: a_range_of_text": "1,000,000 fill values",
    "netCDF: a_crs_of_5_mb": "more than 50,000 characters",
    "netCDF: many_variables": "there is more than one rate",
    "ODIM: odim_chunks_of_one_pixel": "16,000,000 chunks",
    "ODIM: odim_fill_value": "of which the file stores 0",
    "ODIM: odim_many_groups": "more than 200 images",
}


@pytest.fixture(scope="module")
def corpus() -> dict[str, HostileFile]:
    return {file.kind: file for file in hostile_files()}


@pytest.mark.parametrize("kind", WORDS)
def test_what_is_only_declared_is_refused_in_few_words(
    kind: str, corpus: dict[str, HostileFile], tmp_path: Path
) -> None:
    file = corpus[kind]
    path = tmp_path / file.name
    path.write_bytes(file.make())
    with pytest.raises(InputError, match=WORDS[kind]) as caught:
        read([path], names=[file.name])
    assert len(str(caught.value)) < 2000
