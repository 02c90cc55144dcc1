"""TaxiBJ: OpenSTL's archive of sequences, and the original files of half hours."""

import h5py
import numpy as np
import pytest

from model.core.errors import InputError, TooFewFrames
from model.data.datasets import open_dataset


def frames(values):
    """Frames [n, 2, 32, 32], the second channel the negative of the first."""
    values = np.asarray(values, np.float32)
    return np.stack([values, -values], axis=-1)[..., None, None] * np.ones((32, 32), np.float32)


def flow_file(path, first_day, slots, value):
    """Half hours `slots` since `first_day`, each of brightness `value(slot)`."""
    start = np.datetime64(first_day)
    dates = [
        (str(start + np.timedelta64(slot // 48, "D")).replace("-", "") + f"{slot % 48 + 1:02d}").encode()
        for slot in slots
    ]
    with h5py.File(path, "w") as file:
        file["date"] = np.array(dates)
        file["data"] = np.abs(frames([value(slot) for slot in slots]))


def values(window, channel=0):
    return np.concatenate([window.context, window.target])[:, channel, 0, 0]


def drawn(source, batches=20):
    stream = source.training(np.random.default_rng(0), 8)
    return [window for _ in range(batches) for window in next(stream)]


def test_openstl_sequences_go_from_minus_one_and_one_to_zero_and_one(tmp_path):
    np.savez(
        tmp_path / "dataset.npz",
        X_train=frames([[-1.0, -0.5, 0.0, 0.5]]),
        Y_train=frames([[1.0, 0.5, 0.0, -0.5]]),
        X_test=frames([[0.0] * 4, [0.2] * 4, [0.4] * 4]),
        Y_test=frames([[0.0] * 4, [0.2] * 4, [0.4] * 4]),
    )
    for named in (tmp_path, tmp_path / "dataset.npz"):
        source = open_dataset(f"taxibj:{named}", cache_folder=tmp_path)
        window = next(source.training(np.random.default_rng(0), 2))[0]
        assert window.context.shape == window.target.shape == (4, 2, 32, 32)
        assert values(window) == pytest.approx([0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25])
        assert values(window, 1) == pytest.approx(1 - values(window))
        held_out = source.held_out(0, 2, 10)
        assert [round(float(values(w)[0]), 2) for batch in held_out for w in batch] == [0.5, 0.6, 0.7]
    assert source.channels == 2
    with pytest.raises(InputError, match="8 frames, a window needs 12"):
        open_dataset(f"taxibj:{tmp_path}", cache_folder=tmp_path, leads=8)


def test_half_hours_are_split_by_the_last_four_weeks_and_never_across_a_gap(tmp_path):
    # 30 days in two files, two half hours missing on the first day, and midnight between the files.
    slots = [slot for slot in range(30 * 48) if slot not in (20, 21)]
    flow_file(tmp_path / "BJ15_M32x32_T30_InOut.h5", "2015-02-27", slots[:1000], lambda slot: slot)
    flow_file(tmp_path / "BJ16_M32x32_T30_InOut.h5", "2015-02-27", slots[1000:], lambda slot: slot)
    source = open_dataset(f"taxibj:{tmp_path}", cache_folder=tmp_path)
    scale = 2 * 48 - 1  # the greatest count of the first two days, which train
    trained = {tuple(np.round(values(window) * scale).astype(int)) for window in drawn(source, 60)}
    assert all(np.diff(run).tolist() == [1] * 7 for run in trained)
    assert max(run[-1] for run in trained) == scale
    held_out = [window for batch in source.held_out(0, 64, 10_000) for window in batch]
    assert len(held_out) == 28 * 48 - 7
    assert round(float(values(held_out[0])[0]) * scale) == 2 * 48


def test_one_file_alone_may_be_too_short_to_train_on(tmp_path):
    path = tmp_path / "BJ16_M32x32_T30_InOut.h5"
    flow_file(path, "2016-01-01", range(48), lambda slot: slot)
    source = open_dataset(f"taxibj:{path}", cache_folder=tmp_path)
    assert len(source.held_out(0, 4, 4)[0]) == 4
    with pytest.raises(TooFewFrames, match="earlier years"):
        source.training(np.random.default_rng(0), 1)


def test_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "dataset.npz", X_train=np.zeros(3))
    with pytest.raises(InputError, match="X_train, Y_train, X_test, Y_test"):
        open_dataset(f"taxibj:{tmp_path}", cache_folder=tmp_path)
    np.savez(tmp_path / "dataset.npz", **dict.fromkeys(("X_train", "Y_train", "X_test", "Y_test"), np.zeros((2, 4))))
    with pytest.raises(InputError, match=r"not \[n, 4, 2, 32, 32\]"):
        open_dataset(f"taxibj:{tmp_path}", cache_folder=tmp_path)
    path = tmp_path / "flows.h5"
    path.write_bytes(b"no HDF5")
    with pytest.raises(InputError, match="not an HDF5 file"):
        open_dataset(f"taxibj:{path}", cache_folder=tmp_path)
    with h5py.File(path, "w") as file:
        file["date"], file["data"] = np.array([b"2016010101"]), np.zeros((2, 2, 32, 32))
    with pytest.raises(InputError, match="1 dates"):
        open_dataset(f"taxibj:{path}", cache_folder=tmp_path)
    with h5py.File(path, "w") as file:
        file["date"], file["data"] = np.array([b"20160199xx"]), np.zeros((1, 2, 32, 32))
    with pytest.raises(InputError, match="not YYYYMMDD"):
        open_dataset(f"taxibj:{path}", cache_folder=tmp_path)
