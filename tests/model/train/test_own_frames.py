"""One's own frames, from the first command to the last: images and stacks of odd sizes are trained on and used."""

import cv2
import numpy as np
import pytest

from model.data.archive import Archive
from tests.model.train import tiny

START = np.datetime64("2021-07-09T20:00")


def blobs(number, shape):
    """Bytes [t, y, x] of storms that move."""
    noise = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 5)
    pixels = np.clip(smooth / smooth.std() * 50 + 80, 0, 180).astype(np.uint8)
    return np.stack([np.roll(pixels, index, 1) for index in range(number)])


def test_images_of_101_x_97_are_imported_trained_on_exported_verified_and_nowcast(tmp_path, echocast):
    archive, packages = tmp_path / "archive", tmp_path / "packages"
    for index, pixels in enumerate(blobs(30, (101, 97))):
        name = (START + np.timedelta64(5 * index, "m")).item().strftime("images/%Y%m%d/r%H%M.png")
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / name), pixels)
    scale = ("--pattern", "%Y%m%d/r%H%M.png", "--pixel-scale", "dbz:0.4,-20", "--nodata", 180)
    code, out, err = echocast("archive", "import", tmp_path / "images", "--out", archive, *scale)
    assert (code, err) == (0, "")
    assert "30 frames written" in out
    words = ("--iterations", 2, "--set", "validation_windows=2", "--set", "model.net.hidden=4", "--threads", 1)
    code, _, err = echocast("train", "rain-ms-predrnn-tiny", "--archive", archive, "--out", tmp_path / "run", *words)
    assert code == 0, err
    code, _, err = echocast("export", tmp_path / "run", "--out", packages, "--name", "own", "--version", 1)
    assert code == 0, err
    code, _, err = echocast("verify", "own", "--packages", packages, "--archive", archive, "--json")
    assert code == 0, err
    frames = sorted((archive / "radarPNG").rglob("*.png"))[-4:]
    words = ("--packages", packages, "--model", "own", "--steps", 3, "--out", tmp_path / "nowcast.nc")
    code, _, err = echocast("nowcast", *frames, *words)
    assert code == 0, err
    assert Archive(archive).grid.shape == (101, 97)


@pytest.mark.parametrize("name", ["own.npy", "own.npz", "own.h5"])
def test_stacks_of_101_x_97_are_trained_on_exported_and_looked_at(name, tmp_path, echocast):
    import h5py

    stack = blobs(30, (101, 97)).astype(np.float32) / 180
    if name == "own.npy":
        np.save(tmp_path / name, stack)
    elif name == "own.npz":
        np.savez_compressed(tmp_path / name, frames=stack)
    else:
        with h5py.File(tmp_path / name, "w") as file:
            file["frames"] = stack
    words = [word for word in tiny.WORDS if word not in ("--data", "moving-mnist")]
    data = ("--data", f"frames:{tmp_path / name}")
    code, _, err = echocast("train", "mnist-predrnn", *data, *words, "--iterations", 2, "--out", tmp_path / "run")
    assert code == 0, err
    assert [line["iteration"] for line in tiny.lines(tmp_path / "run")] == [1, 2]
    code, _, err = echocast("train", "--resume", *data, "--iterations", 3, "--out", tmp_path / "run")
    assert code == 0, err
    code, _, err = echocast("export", tmp_path / "run", "--out", tmp_path / "packages", "--name", "own", "--version", 1)
    assert code == 0, err
    package = tmp_path / "packages/own/1"
    code, _, err = echocast("analyze", package, *data, "--out", tmp_path / "looked-at", "--steps", 3)
    assert code == 0, err


def test_channels_that_the_network_does_not_read_are_refused_with_the_setting_that_fits(tmp_path, echocast):
    np.save(tmp_path / "own.npy", np.stack([blobs(30, (24, 16))] * 3, axis=1))
    words = [word for word in tiny.WORDS if word not in ("--data", "moving-mnist")]
    data = ("--data", f"frames:{tmp_path / 'own.npy'}")
    command = ("train", "mnist-predrnn", *data, *words, "--iterations", 1, "--out", tmp_path / "run")
    code, _, err = echocast(*command)
    assert code == 2
    assert "[30, 3, 24, 16], read as [t, c, y, x], has 3 channels, the network reads 1" in err
    assert "--set model.channels=3" in err
    code, _, err = echocast(*command, "--set", "model.channels=3")
    assert code == 0, err
