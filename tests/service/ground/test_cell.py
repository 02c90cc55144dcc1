"""Cells of the base map are read as they were written, and the shipped ones are whole and small."""

import gzip

import numpy as np

from service.ground.cell import Cell, Line, Town, decode_cell, encode_cell
from service.ground.pack import GROUND, CellId, GroundPack, shipped_ground, write_pack

CELL = Cell()
CELL.lines["land"].append(Line(np.array([[-64, 0], [8256, 8000], [12, -64], [-64, 0]])))
CELL.lines["rivers"].append(Line(np.array([[5, 6], [4000, 7]]), rank=9))
CELL.towns.extend([Town(-1024, 9216, 5, True, "Łódź"), Town(0, 0, 12, False, "'s-Hertogenbosch")])


def same(one, other):
    for kind, lines in one.lines.items():
        assert [line.rank for line in lines] == [line.rank for line in other.lines[kind]]
        assert [line.points.tolist() for line in lines] == [line.points.tolist() for line in other.lines[kind]]
    assert one.towns == other.towns


def test_a_cell_is_read_as_it_was_written():
    same(decode_cell(encode_cell(CELL)), CELL)


def test_the_same_cells_make_the_same_file_and_empty_ones_are_none(tmp_path):
    write_pack({CellId(3, 4, 2): CELL, CellId(3, 0, 0): Cell()}, tmp_path)
    written = (tmp_path / "ground.bin").read_bytes()
    pack = GroundPack(tmp_path)
    same(pack.cell(CellId(3, 4, 2)), CELL)
    assert pack.compressed(CellId(3, 0, 0)) is None
    assert not pack.cell(CellId(3, 0, 0))
    write_pack({CellId(3, 4, 2): CELL}, tmp_path)
    assert (tmp_path / "ground.bin").read_bytes() == written
    assert GroundPack(tmp_path).version == pack.version


def test_the_shipped_map_has_what_a_first_picture_needs_in_little_room():
    overview = shipped_ground().cell(CellId(0, 0, 0))
    assert all(overview.lines[kind] for kind in ("land", "lakes", "rivers", "borders"))
    assert {"Copenhagen", "Brisbane", "Houston"} <= {town.name for town in overview.towns}
    compressed = shipped_ground().compressed(CellId(0, 0, 0))
    assert compressed is not None
    assert len(compressed) < 120_000
    assert gzip.decompress(compressed) == encode_cell(overview)
    assert sum(path.stat().st_size for path in GROUND.iterdir()) < 4_500_000
