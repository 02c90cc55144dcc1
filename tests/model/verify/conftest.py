"""Small archives for the tests."""

import zlib
from dataclasses import replace

import numpy as np
import pytest
from pyproj import CRS

from model.core.grid import Grid
from model.data.archive import Archive
from model.data.archive_paths import frame_path, mask_path
from model.data.archive_writer import ArchiveWriter

START = np.datetime64("2015-06-01T00:00", "s")


@pytest.fixture
def grid():
    return Grid.regular(CRS.from_epsg(32650), shape=(20, 30), pixel_size=1000.0, centre=(0.0, 0.0))


@pytest.fixture
def band(tmp_path, grid):
    """Return an archive of twenty frames of 10 min, one of them missing: a band 5 columns wide that moves 1 a step."""
    start = np.datetime64("2020-06-01T00:00")
    with ArchiveWriter(tmp_path / "band", grid, 10.0, {}) as writer:
        for index in range(20):
            if index != 12:
                rain = np.zeros(grid.shape, np.float32)
                rain[:, index : index + 5] = 8.0
                writer.append(start + np.timedelta64(10 * index, "m"), rain)
    return Archive(tmp_path / "band")


@pytest.fixture
def pixel_archive(tmp_path, grid):
    """`pixel_archive({minutes: pixels [20, 30]}, masks={minutes: counts}, exclude=...)` in HKO-7's layout, 6 min."""
    import cv2

    def make(frames, masks=None, exclude=None):
        root = tmp_path / "hko7"
        with ArchiveWriter(root, grid, 6.0, {"source": "by hand"}):
            pass
        for minutes, pixels in frames.items():
            time = START + np.timedelta64(minutes, "m")
            path = frame_path(root, time)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".png", pixels.astype(np.uint8))[1].tobytes())
            if masks and minutes in masks:
                path = mask_path(root, time)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(zlib.compress(masks[minutes].astype(bool).tobytes()))
        if exclude is not None:
            np.savez(root / "mask_dat.npz", exclude_mask=exclude.astype(np.uint8))
        return Archive(root)

    return make


@pytest.fixture
def package_of(tmp_path):
    """Return `package_of(network, ..)`: the catalogue entry of a package of a tiny network with large random weights.

    Keyword arguments set fields of the manifest.
    """
    pytest.importorskip("torch")
    from tests.model.export.untrained import packed
    from tests.model.nets.small import CONFIGS

    def make(network, **fields):
        config = replace(CONFIGS[network], reads_known=True, reads_time=True)
        return packed(config, tmp_path / "packages", **fields)

    return make
