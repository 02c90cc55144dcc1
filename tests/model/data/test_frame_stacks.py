"""Frames of one's own: stacks of any length and size in .npy, .npz and HDF5, as a source of windows."""

from __future__ import annotations

import logging
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

from model.core.errors import InputError, TooFewFrames
from model.data.datasets import open_dataset
from model.data.frame_stacks import FrameStackDataset

T, Y, X = 60, 21, 18


def frames(count: int = T, channels: int | None = None, seed: int = 0) -> np.ndarray:
    shape = (count, Y, X) if channels is None else (count, channels, Y, X)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def saved(path: Path, array: np.ndarray) -> Path:
    """The array as a file of the kind that its name says."""
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez_compressed(path, rain=array, step=np.array(5))
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset("group/rain", data=array, chunks=True, compression="gzip")
            file["step"] = 5
    return path


def source(tmp_path: Path, text: str, **changes: object) -> FrameStackDataset:
    given: dict[str, object] = {"context": 3, "leads": 4, "channels": 1, **changes}
    found = open_dataset(f"frames:{tmp_path / text}", cache_folder=tmp_path / "cache", **given)  # type: ignore[arg-type]
    assert isinstance(found, FrameStackDataset)
    return found


def drawn(found: FrameStackDataset, number: int = 200) -> list[np.ndarray]:
    """Whole windows [t, c, y, x] of a training."""
    stream = found.training(np.random.default_rng(0), 1)
    return [np.concatenate([window.context, window.target]) for _ in range(number) for window in next(stream)]


def places(windows: list[np.ndarray], array: np.ndarray) -> set[int]:
    """Where in [t, y, x] bytes the windows begin; each must lie somewhere."""
    found = set()
    for window in windows:
        pixels = np.round(window[:, 0] * 255).astype(np.uint8)
        [first] = [n for n in range(len(array) - len(pixels) + 1) if np.array_equal(array[n : n + len(pixels)], pixels)]
        found.add(first)
    return found


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.h5"])
def test_windows_are_the_files_frames_and_the_last_quarter_is_held_out(name: str, tmp_path: Path) -> None:
    array = frames()
    saved(tmp_path / name, array)
    found = source(tmp_path, name)
    assert found.kind == "frames"
    trained = places(drawn(found), array)
    held = [np.concatenate([w.context, w.target]) for batch in found.held_out(0, 4, 100) for w in batch]
    assert trained == set(range(45 - 7 + 1))
    assert places(held, array) == set(range(45, 60 - 7 + 1))
    assert [len(batch) for batch in found.held_out(0, 4, 6)] == [4, 2]
    assert all(
        np.array_equal(one.target, other.target)
        for one, other in zip(found.held_out(1, 9, 6)[0], found.held_out(1, 9, 6)[0], strict=True)
    )


@pytest.mark.parametrize(
    ("axes", "order"), [("tyx", (0, 2, 3)), ("tcyx", (0, 1, 2, 3)), ("tyxc", (0, 2, 3, 1)), ("ctyx", (1, 0, 2, 3))]
)
def test_axes_may_be_in_any_order(axes: str, order: tuple[int, ...], tmp_path: Path) -> None:
    array = frames(channels=1 if axes == "tyx" else 2)
    for name in ("a.npy", "a.h5"):
        saved(tmp_path / name, (array[:, 0] if axes == "tyx" else array.transpose(order)))
        found = source(tmp_path, f"{name},axes={axes}", channels=array.shape[1])
        window = drawn(found, 1)[0]
        assert window.shape == (7, array.shape[1], Y, X)
        assert places([window], array[:, 0])
        assert places([window[:, -1:]], array[:, -1])


def test_short_sequences_are_held_out_whole(tmp_path: Path) -> None:
    array = np.stack([frames(8, seed=seed) for seed in range(12)])
    saved(tmp_path / "a.npy", array)
    found = source(tmp_path, "a.npy,axes=ntyx")
    seen = {
        int(np.argmin([np.abs(sequence[:2] - np.round(w[:2, 0] * 255)).sum() for sequence in array.astype(float)]))
        for w in drawn(source(tmp_path, "a.npy,axes=ntyx", leads=5))
    }
    assert seen == set(range(9))
    assert sum(len(batch) for batch in found.held_out(0, 4, 100)) == 3 * 2
    saved(tmp_path / "b.npy", array[:, :, np.newaxis])
    assert sum(len(batch) for batch in source(tmp_path, "b.npy").held_out(0, 4, 100)) == 3 * 2


def test_a_wrong_number_of_channels_is_refused_with_a_hint_at_the_axes(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", frames(20, channels=50))
    with pytest.raises(InputError) as caught:
        source(tmp_path, "a.npy")
    assert caught.value.where == str(path)
    assert "[20, 50, 21, 18], read as [t, c, y, x], has 50 channels, the network reads 1" in str(caught.value)
    assert "axes=ntyx" in str(caught.value)
    assert "--set model.channels=50" in str(caught.value)


def test_sides_are_padded_with_missing_data_or_a_square_is_cropped(tmp_path: Path) -> None:
    array = frames()
    saved(tmp_path / "a.npy", array)
    window = drawn(source(tmp_path, "a.npy", multiple=8), 1)[0]
    assert window.shape == (7, 1, 24, 24)
    assert np.isnan(window[..., Y:, :]).all()
    assert np.isnan(window[..., X:]).all()
    assert places([window[..., :Y, :X]], array)
    cut = drawn(source(tmp_path, "a.npy,crop=16", multiple=8), 50)
    assert {window.shape for window in cut} == {(7, 1, 16, 16)}
    assert len({window[0, 0, 0, 0] for window in cut}) > 10
    with pytest.raises(InputError, match="crop=19 exceeds the frames of 21 x 18"):
        source(tmp_path, "a.npy,crop=19")


def test_values_are_scaled_by_a_range_and_must_be_within_it(tmp_path: Path) -> None:
    values = frames().astype(np.float32) * 0.25
    values[:, 0, 0] = np.nan
    saved(tmp_path / "a.npy", values)
    with pytest.raises(InputError, match=r"values are from 0 to 63.75, not from 0 to 1.*range=0\.\.63\.75"):
        source(tmp_path, "a.npy")
    window = drawn(source(tmp_path, "a.npy,range=0..63.75"), 1)[0]
    assert np.isnan(window[:, 0, 0, 0]).all()
    assert (np.nanmin(window), np.nanmax(window)) == (0, 1)
    values[3:5] = -9999
    saved(tmp_path / "a.npy", values)
    with pytest.raises(InputError, match=r"values are from -9999 to 63\.75.*nodata=VALUE"):
        source(tmp_path, "a.npy,range=0..63.75")
    assert any(np.isnan(w).mean() > 0.2 for w in drawn(source(tmp_path, "a.npy,range=0..63.75,nodata=-9999")))
    values[9, 9, 9] = np.inf
    saved(tmp_path / "a.npy", values)
    with pytest.raises(InputError, match="to inf, not"):
        source(tmp_path, "a.npy,range=0..63.75,nodata=-9999")
    saved(tmp_path / "b.npy", frames().astype(np.int16) * 16)
    with pytest.raises(InputError, match=r"range=0\.\.4080"):
        source(tmp_path, "b.npy")


def test_packing_attributes_of_hdf5_are_applied(tmp_path: Path) -> None:
    array = frames()
    array[:, 2, 2] = 255
    with h5py.File(tmp_path / "a.h5", "w") as file:
        packed = file.create_dataset("dbz", data=array)
        packed.attrs.update(scale_factor=0.5, add_offset=-32.0, _FillValue=np.uint8(255))
    window = drawn(source(tmp_path, "a.h5,range=-32..95"), 1)[0]
    assert np.isnan(window[:, 0, 2, 2]).all()
    known = np.isfinite(window)
    assert places([np.where(known, window * 127 * 2 / 255, 1)], array)


def test_short_files_are_left_out_by_name_and_too_few_frames_are_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    saved(folder / "long.npy", frames())
    saved(folder / "short.npy", frames(5))
    with caplog.at_level(logging.WARNING):
        source(tmp_path, "in")
    assert f"{folder}/short.npy is left out: 5 frames, a window needs 7" in caplog.text
    for count in (5, 7, 13):
        saved(tmp_path / "one.npy", frames(count))
        with pytest.raises(TooFewFrames, match=f"longest sequence has {count} frames.*Give 14 frames or more"):
            source(tmp_path, "one.npy")
    saved(tmp_path / "one.npy", frames(14))
    assert places(drawn(source(tmp_path, "one.npy"), 5), frames(14)) == {0}


def test_files_of_other_sizes_are_named_with_their_shapes(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    saved(folder / "a.npy", frames())
    saved(folder / "b.npz", frames()[:, :20])
    with pytest.raises(InputError) as caught:
        source(tmp_path, "in")
    assert str(folder / "b.npz") in str(caught.value)
    assert "20 x 18 with 1 channels, [60, 20, 18], those of" in str(caught.value)
    assert "21 x 18 with 1 channels, [60, 21, 18]" in str(caught.value)


def broken(folder: Path) -> dict[str, tuple[str, str]]:
    """Files that are none: name -> (options, what is said)."""
    np.save(folder / "objects.npy", np.array([{}, {}], object))
    np.savez(folder / "objects.npz", a=np.array([[[{}]]], object))
    np.save(folder / "flat.npy", np.zeros((5, 5)))
    np.save(folder / "nothing.npy", np.full((60, 5, 5), np.nan))
    np.save(folder / "empty.npy", np.zeros((0, 5, 5)))
    np.save(folder / "text.npy", np.full((3, 3, 3), "a"))
    np.save(folder / "whole.npy", frames())
    (folder / "cut.npy").write_bytes((folder / "whole.npy").read_bytes()[:5000])
    np.savez(folder / "two.npz", a=frames(), b=frames())
    (folder / "two.h5").write_bytes(b"\x89HDF\r\n\x1a\nnothing")
    with h5py.File(folder / "link.h5", "w") as file:
        file["a"] = h5py.ExternalLink("/etc/other.h5", "/a")
    (folder / "frames.txt").write_text("1 2 3")
    return {
        "objects.npy": ("", "cannot be read"),
        "objects.npz": ("", "cannot be read"),
        "flat.npy": ("", r"\[5, 5\] is not a stack of frames"),
        "empty.npy": ("", r"\[0, 5, 5\] is not a stack of frames: it is empty"),
        "nothing.npy": ("", r"\[60, 5, 5\] holds no data"),
        "text.npy": ("", r"\[3, 3, 3\] holds <U1, not numbers"),
        "cut.npy": ("", "cannot be read"),
        "two.npz": ("", r"several arrays may be the frames: a \[60, 21, 18\], b \[60, 21, 18\]"),
        "two.h5": ("", "cannot be"),
        "link.h5": ("", "points outside"),
        "frames.txt": ("", r"its name is not that of a stack.*\.npy, \.npz"),
        "nowhere.npy": ("", "no such file"),
        "whole.npy": (",axes=ntyx", r"\[60, 21, 18\] is not a stack of frames with the axes ntyx"),
    }


def test_other_files_are_refused_with_the_reason_and_never_unpickled(tmp_path: Path) -> None:
    for name, (options, said) in broken(tmp_path).items():
        with pytest.raises(InputError, match=said) as caught:
            source(tmp_path, name + options)
        assert str(tmp_path / name) in caught.value.where, name
    assert source(tmp_path, "two.npz,variable=b").stacks[0].shape == (60, 21, 18)
    with pytest.raises(InputError, match="no array c"):
        source(tmp_path, "two.npz,variable=c")


@pytest.mark.parametrize(
    "options", ["axes=tx", "axes=ttyx", "range=5", "range=5..5", "range=a..b", "crop=0", "crop=x", "step=0", "side=3"]
)
def test_invalid_options_are_refused(options: str, tmp_path: Path) -> None:
    saved(tmp_path / "a.npy", frames())
    with pytest.raises(InputError, match=r"^--data frames: [^:]"):
        source(tmp_path, f"a.npy,{options}")


def test_the_digest_follows_the_files_and_how_they_are_read(tmp_path: Path) -> None:
    saved(tmp_path / "a.npy", frames())
    digests = {source(tmp_path, f"a.npy{options}").provenance().digest for options in ("", ",crop=8", ",range=0..300")}
    saved(tmp_path / "a.npy", frames(seed=1))
    digests.add(source(tmp_path, "a.npy").provenance().digest)
    assert len(digests) == 4


def test_memory_holds_a_window_and_not_the_files(tmp_path: Path) -> None:
    shape = (4000, 64, 64)
    np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.float32, shape)[:] = 0.5
    np.savez(tmp_path / "b.npz", np.load(tmp_path / "a.npy", mmap_mode="r")[:1000])
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file.create_dataset("a", shape, np.float32, chunks=(1, 64, 64), fillvalue=0.5)
    for name in ("a.npy", "b.npz", "c.h5"):
        tracemalloc.start()
        found = source(tmp_path, name)
        tracemalloc.reset_peak()
        drawn(found, 5)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 3_000_000, name
