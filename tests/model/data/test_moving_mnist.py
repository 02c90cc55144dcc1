"""Moving MNIST: generated, from an MNIST file, and the official test sequences."""

import gzip
import struct

import numpy as np
import pytest

from model.core.errors import InputError
from model.data.datasets import open_dataset
from model.data.moving_mnist import generate_sequence, open_moving_mnist, read_idx_images, trajectory


def idx_file(path, number=12):
    """PngReader that are all of one brightness: image i is 100 + i."""
    images = np.broadcast_to(np.arange(100, 100 + number, dtype=np.uint8)[:, None, None], (number, 28, 28))
    content = struct.pack(">IIII", 0x803, number, 28, 28) + images.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def brightnesses(windows):
    """Of the digits in windows, as numbers of 0 to 255."""
    frames = np.concatenate([np.concatenate([window.context, window.target]) for window in windows])
    return set(np.unique(np.round(frames * 255).astype(int))) - {0}


def test_generated_windows_have_the_shape_of_the_papers_and_depend_only_on_the_seed(tmp_path):
    source = open_dataset("moving-mnist", cache_folder=tmp_path)
    batch = next(source.training(np.random.default_rng(1), 3))
    again = next(source.training(np.random.default_rng(1), 3))
    assert [window.context.shape for window in batch] == [(10, 1, 64, 64)] * 3
    assert batch[0].target.shape == (10, 1, 64, 64)
    assert batch[0].context.dtype == np.float32
    assert 0 <= batch[0].context.min() < batch[0].context.max() <= 1
    assert all(np.array_equal(one.target, other.target) for one, other in zip(batch, again, strict=True))
    assert not np.array_equal(batch[0].context, batch[1].context)


def test_a_digit_moves_straight_at_a_tenth_of_the_free_range_and_bounces():
    rng = np.random.default_rng(0)
    for _ in range(50):
        places = trajectory(40, rng)
        assert places.min() >= 0
        assert places.max() <= 36
        steps = np.diff(places, axis=0)
        inside = ((places[:-1] > 0) & (places[:-1] < 36) & (places[1:] > 0) & (places[1:] < 36)).all(axis=1)
        assert np.abs(np.hypot(*steps[inside].T) - 3.6).max() < 1.5  # places are whole pixels
        assert (np.abs(places[-1] - places[0]) < 36 * 39 * 0.1).all()  # it was thrown back


def test_two_digits_are_drawn_and_neither_hides_the_other():
    glyphs = np.stack([np.full((28, 28), 100, np.uint8), np.full((28, 28), 200, np.uint8)])
    rng = np.random.default_rng(3)
    videos = [generate_sequence(glyphs, 20, rng) for _ in range(20)]
    mixed = [video for video in videos if {100, 200} <= set(np.unique(video))]
    assert mixed
    for video in mixed:
        assert ((video == 200).sum(axis=(1, 2)) == 28 * 28).all()  # the brighter pixel counts


def test_built_in_digits_look_like_mnist_in_size_and_differ_from_those_held_out():
    source = open_moving_mnist()
    glyphs, held_out = source.glyphs, source.held_out_glyphs
    for glyph in glyphs[:50]:
        rows, columns = np.nonzero(glyph > 30)
        assert 14 <= np.ptp(rows) + 1 <= 26
        assert abs(rows.mean() - 13.5) < 3
        assert abs(columns.mean() - 13.5) < 3
    assert not {glyph.tobytes() for glyph in glyphs} & {glyph.tobytes() for glyph in held_out}


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"])
def test_digits_of_an_mnist_file_are_split_between_training_and_held_out(name, tmp_path):
    source = open_dataset(f"moving-mnist:{idx_file(tmp_path / name)}", cache_folder=tmp_path)
    stream = source.training(np.random.default_rng(0), 8)
    assert brightnesses([window for _ in range(5) for window in next(stream)]) == set(range(100, 110))
    held_out = source.held_out(0, 8, 20)
    assert [len(batch) for batch in held_out] == [8, 8, 4]
    assert brightnesses([window for batch in held_out for window in batch]) == {110, 111}


def test_the_official_test_sequences_are_held_out_in_their_order(tmp_path):
    official = np.zeros((20, 6, 64, 64), np.uint8)
    official += (np.arange(20)[:, None] * 10 + np.arange(6)).astype(np.uint8)[:, :, None, None]
    np.save(tmp_path / "mnist_test_seq.npy", official)
    idx_file(tmp_path / "train-images-idx3-ubyte.gz")
    for named in (tmp_path, tmp_path / "mnist_test_seq.npy"):
        source = open_dataset(f"moving-mnist:{named}", cache_folder=tmp_path)
        windows = [window for batch in source.held_out(0, 4, 100) for window in batch]
        assert len(windows) == 6
        for number, window in enumerate(windows):
            frames = np.concatenate([window.context, window.target])
            assert np.round(frames[:, 0, 0, 0] * 255).tolist() == [10 * t + number for t in range(20)]
    folder = open_dataset(f"moving-mnist:{tmp_path}", cache_folder=tmp_path)
    assert brightnesses(next(folder.training(np.random.default_rng(0), 2))) <= set(range(100, 110))
    digest = folder.provenance().digest
    (tmp_path / "mnist_test_seq.npy").unlink()
    assert open_dataset(f"moving-mnist:{tmp_path}", cache_folder=tmp_path).provenance().digest != digest
    some = folder.held_out(7, 2, 2)
    assert len(some) == 1
    assert np.array_equal(some[0][0].context, folder.held_out(7, 2, 2)[0][0].context)


def test_other_files_are_refused(tmp_path):
    whole = idx_file(tmp_path / "images").read_bytes()
    labels = struct.pack(">II", 0x801, 12) + bytes(12)
    compressed = gzip.compress(whole)
    for content, said in (
        (b"", "no header"),
        (labels, "not an idx file of images"),
        (whole[:-1], "12 images"),
        (compressed[: len(compressed) // 2], "gzip file is damaged"),
    ):
        (tmp_path / "images").write_bytes(content)
        with pytest.raises(InputError, match=said):
            read_idx_images(tmp_path / "images")
    np.save(tmp_path / "mnist_test_seq.npy", np.zeros((20, 3, 32, 32), np.uint8))
    with pytest.raises(InputError, match="not uint8"):
        open_dataset(f"moving-mnist:{tmp_path / 'mnist_test_seq.npy'}", cache_folder=tmp_path)
    (tmp_path / "mnist_test_seq.npy").write_bytes(b"no numpy")
    with pytest.raises(InputError, match="not a numpy file"):
        open_dataset(f"moving-mnist:{tmp_path / 'mnist_test_seq.npy'}", cache_folder=tmp_path)


def test_more_frames_than_the_test_sequences_have_are_refused(tmp_path):
    np.save(tmp_path / "mnist_test_seq.npy", np.zeros((20, 3, 64, 64), np.uint8))
    with pytest.raises(InputError, match="20 frames"):
        open_dataset(f"moving-mnist:{tmp_path}", cache_folder=tmp_path, leads=20)
