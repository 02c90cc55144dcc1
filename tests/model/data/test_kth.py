"""KTH: videos as the site gives them, or as folders of frames; clips as PredRNN cuts them."""

import cv2
import numpy as np
import pytest

from model.core.errors import InputError, TooFewFrames
from model.data.datasets import open_dataset
from model.data.kth import KTH, clip_starts


def frame(level):
    """160 x 120, grey, darker on the left."""
    picture = np.full((120, 160, 3), level, np.uint8)
    picture[:, :80] //= 2
    return picture


def avi(path, frames):
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (160, 120))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no video")
    for index in range(frames):
        writer.write(frame(40 + 4 * index))
    writer.release()


def pictures(folder, numbers):
    folder.mkdir(parents=True)
    for number in numbers:
        cv2.imwrite(str(folder / f"image_{number:04d}.jpg"), frame(40 + 4 * number))


def levels(window):
    frames = np.concatenate([window.context, window.target])
    return np.round(frames[:, 0, 64, 100] * 255).astype(int)


def test_videos_of_the_site_train_and_test_by_person(tmp_path):
    avi(tmp_path / "kth/boxing/person16_boxing_d1_uncomp.avi", 25)
    avi(tmp_path / "kth/person17_boxing_d1_uncomp.avi", 35)
    source = open_dataset(f"kth:{tmp_path / 'kth'}", cache_folder=tmp_path / "cache", context=10, leads=10)
    window = next(source.training(np.random.default_rng(0), 1))[0]
    assert window.context.shape == (10, 1, 128, 128)
    assert window.target.shape == (10, 1, 128, 128)
    assert np.abs(levels(window) - (40 + 4 * np.arange(5, 25))).max() <= 3  # the last 20 of 25 frames; JPEG is lossy
    assert window.context[0, 0, 64, 20] == pytest.approx(window.context[0, 0, 64, 100] / 2, abs=0.03)
    [[held_out]] = source.held_out(0, 4, 10)
    assert held_out.target.shape == (20, 1, 128, 128)
    assert np.abs(levels(held_out) - (40 + 4 * np.arange(5, 35))).max() <= 3
    assert source.provenance().sources == ("KTH actions (Schuldt et al. 2004), 2 videos",)


def test_clips_of_a_folder_of_frames_never_span_a_gap_nor_two_videos(tmp_path):
    pictures(tmp_path / "walking/person01_walking_d1_uncomp", [*range(1, 7), *range(9, 15)])
    pictures(tmp_path / "walking/person02_walking_d1_uncomp", [*range(15, 19)])
    source = open_dataset(f"kth:{tmp_path}", cache_folder=tmp_path / "cache", context=2, leads=3)
    seen = set()
    stream = source.training(np.random.default_rng(0), 8)
    for window in [window for _ in range(4) for window in next(stream)]:
        numbers = np.round((levels(window) - 40) / 4).astype(int)
        assert (np.diff(numbers) == 1).all()
        seen.add(int(numbers[0]))
    assert seen == {2, 10}


def test_clips_lie_end_to_end_and_every_third_frame_where_people_run():
    numbers = np.arange(1, 31)
    assert clip_starts(numbers, 10, 0) == [0, 10, 20]
    assert clip_starts(numbers, 10, 3) == [2, 5, 8, 11, 14, 17, 20]
    gap = np.array([*range(1, 15), *range(16, 32)])
    assert clip_starts(gap, 10, 0) == [4, 20]


def test_frames_without_a_person_are_left_out(tmp_path):
    avi(tmp_path / "running/person01_running_d1_uncomp.avi", 40)
    (tmp_path / "00sequences.txt").write_text(
        "title\n\nperson01_running_d1\t\tframes\t3-9, 12-20\nperson13_handclapping_d3\t*missing*\n"
    )
    source = open_dataset(f"kth:{tmp_path}", cache_folder=tmp_path / "cache", context=2, leads=4)
    firsts = sorted(clip.first + 1 for clip in source.training_clips)
    assert firsts == [4, 12, 15]


def test_a_video_is_decoded_again_only_when_its_file_changes(tmp_path):
    path = tmp_path / "boxing/person01_boxing_d1_uncomp.avi"
    avi(path, 12)
    make = lambda: open_dataset(f"kth:{tmp_path}", cache_folder=tmp_path / "cache", context=2, leads=2)  # noqa: E731
    make()
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").iterdir()}
    make()
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").iterdir()} == before
    avi(path, 20)
    assert len(make().training_clips) == 5


def test_other_files_than_videos_are_named(tmp_path):
    path = tmp_path / "boxing/person01_boxing_d1_uncomp.avi"
    path.parent.mkdir()
    path.write_bytes(b"RIFF nothing of the kind")
    with pytest.raises(InputError, match="OpenCV cannot read the video") as caught:
        open_dataset(f"kth:{tmp_path}", cache_folder=tmp_path / "cache")
    assert caught.value.where == str(path)
    path.unlink()
    with pytest.raises(InputError, match="no video such as"):
        open_dataset(f"kth:{tmp_path}", cache_folder=tmp_path / "cache")
    pictures(tmp_path / "boxing/person01_boxing_d2_uncomp", [1])
    (tmp_path / "boxing/person01_boxing_d2_uncomp/image_0002.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="not an image"):
        open_dataset(f"kth:{tmp_path}", cache_folder=tmp_path / "cache")


def test_with_test_persons_only_there_is_nothing_to_train_on(tmp_path):
    pictures(tmp_path / "person20_boxing_d1_uncomp", range(1, 9))
    source = KTH(tmp_path, tmp_path / "cache", context=2, leads=2, held_out_leads=2)
    assert len(source.held_out(0, 8, 8)[0]) == 2
    with pytest.raises(TooFewFrames, match="persons 1 to 16"):
        source.training(np.random.default_rng(0), 1)
