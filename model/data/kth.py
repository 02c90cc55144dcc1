"""KTH actions (Schuldt et al. 2004, doi 10.1109/ICPR.2004.1334462): people who walk, jog, run, box, wave and clap.

Clips are those of PredRNN (arXiv 2103.09504) and OpenSTL (arXiv 2306.11249): persons 1 to 16 for training, 17 to 25 for
the test; grey, 128 x 128 pixels. Clips follow each other end to end; those of jogging and running people, who leave the
picture soon, begin every third frame.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.atomic import atomic_file
from model.core.errors import InputError
from model.core.units import FloatArray
from model.data.video_clips import dataset_error, digest_files, fixed_batches, random_batches, require_clips
from model.data.windows import Provenance, Window

SIDE: Final = 128
LAST_TRAINING_PERSON: Final = 16
END_TO_END: Final = 0
STRIDES: Final[Mapping[str, int]] = MappingProxyType(
    {**dict.fromkeys(("boxing", "handclapping", "handwaving", "walking"), END_TO_END), "jogging": 3, "running": 3}
)
"""Frames from the start of a clip to the start of the next."""

STEP_MINUTES: Final = 1 / (25 * 60)
SITE: Final = "https://www.csc.kth.se/cvap/actions, files walking.zip to handclapping.zip"
VIDEO: Final = re.compile(rf"(person(\d\d)_({'|'.join(STRIDES)})_d\d)(_uncomp)?(\.avi)?")
IMAGE: Final = re.compile(r"image\D?(\d+)\.(jpg|jpeg|png)")
SEQUENCES: Final = "00sequences.txt"
"""The list, on the site, of the frames in which a person is in sight."""


@dataclass(frozen=True, kw_only=True)
class Video:
    """A video: an .avi file, or a folder of `image_0001.jpg` and so on."""

    name: str
    person: int
    category: str
    path: Path

    def files(self) -> list[Path]:
        """Return the .avi file, or the files of the frames in order."""
        if self.path.is_file():
            return [self.path]
        return sorted((file for file in self.path.iterdir() if IMAGE.fullmatch(file.name)), key=_number_of)


@dataclass(frozen=True, kw_only=True)
class ClipLocation:
    """The location of a clip: a file of a decoded video [t, 128, 128], and the index of the first frame."""

    decoded: Path
    first: int


class KTH:
    """The KTH data set; see `model.data.datasets.WindowDataset`.

    Parameters
    ----------
    folder
        Folder of the videos, or of one folder per action.
    cache_folder
        Folder of the decoded videos.
    context
        Frames in.
    leads, held_out_leads
        Frames out, in training and in the test: 10 and 20 in the papers.

    Raises
    ------
    InputError
        There are no videos, or one cannot be read.
    """

    channels = 1
    kind: Literal["rain", "frames"] = "frames"

    def __init__(
        self, folder: Path, cache_folder: Path, *, context: int = 10, leads: int = 10, held_out_leads: int = 20
    ) -> None:
        self.folder = folder
        self.context = context
        self.leads = leads
        self.held_out_leads = held_out_leads
        self.videos = find_videos(folder)
        in_sight = _frames_in_sight(folder)
        cache_folder.mkdir(parents=True, exist_ok=True)
        self.training_clips: list[ClipLocation] = []
        self.held_out_clips: list[ClipLocation] = []
        for video in self.videos:
            decoded = _decoded(video, cache_folder)
            numbers = _numbers(video, len(np.load(decoded, mmap_mode="r")))
            trains = video.person <= LAST_TRAINING_PERSON
            length = context + (leads if trains else held_out_leads)
            firsts = clip_starts(numbers, length, STRIDES[video.category], in_sight.get(video.name))
            clips = self.training_clips if trains else self.held_out_clips
            clips += [ClipLocation(decoded=decoded, first=first) for first in firsts]

    def training(self, rng: np.random.Generator, batch: int) -> Iterator[list[Window]]:
        """Yield batches of clips of persons 1 to 16 without end.

        Raises
        ------
        TooFewFrames
            None of these videos is long enough.
        """
        number = require_clips(len(self.training_clips), "train on", self.folder, "Add videos of persons 1 to 16")
        clip = partial(_frames, self.training_clips, self.context + self.leads)
        return random_batches(clip, number, self.context, STEP_MINUTES, rng, batch)

    def held_out(self, seed: int, batch: int, count: int) -> list[list[Window]]:
        """Return clips of persons 17 to 25.

        Raises
        ------
        TooFewFrames
            None of these videos is long enough.
        """
        number = require_clips(len(self.held_out_clips), "hold out", self.folder, "Add videos of persons 17 to 25")
        clip = partial(_frames, self.held_out_clips, self.context + self.held_out_leads)
        return fixed_batches(clip, number, self.context, STEP_MINUTES, seed, batch, count)

    def provenance(self) -> Provenance:
        """Return the digest of all files of all videos."""
        digest = digest_files([file for video in self.videos for file in video.files()])
        source = f"KTH actions (Schuldt et al. 2004), {len(self.videos)} videos"
        return Provenance(digest=digest, days=(), sources=(source,))


def find_videos(folder: Path) -> list[Video]:
    """Find the videos in a folder or its subfolders, by name; a folder of frames replaces an .avi of the same name.

    Raises
    ------
    InputError
        There are no videos.
    """
    found: dict[str, Video] = {}
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        match = VIDEO.fullmatch(path.name)
        if match is None or path.is_dir() == bool(match[5]) or (path.is_file() and match[1] in found):
            continue
        found[match[1]] = Video(name=match[1], person=int(match[2]), category=match[3], path=path)
    if not found:
        raise dataset_error(
            "no video such as boxing/person01_boxing_d1_uncomp.avi, nor a folder of its frames", folder, SITE
        )
    return [found[name] for name in sorted(found)]


def clip_starts(
    numbers: NDArray[np.intp], length: int, stride: int, in_sight: NDArray[np.intp] | None = None
) -> list[int]:
    """Return the index of the first frame of each clip, placed from the end of the video backwards as in PredRNN.

    Parameters
    ----------
    numbers
        Number of each frame in the video; the numbers of a clip are consecutive.
    length
        Frames of a clip.
    stride
        Frames between the starts of clips; 0 for clips that do not overlap.
    in_sight
        Numbers of the frames that may be used; None for all.
    """
    usable = np.ones(numbers.size, bool) if in_sight is None else np.isin(numbers, in_sight)
    starts = []
    last = numbers.size - 1
    while last >= length - 1:
        first = last - length + 1
        if numbers[last] - numbers[first] == length - 1 and usable[first : last + 1].all():
            starts.append(first)
            last -= stride or length
        else:
            last -= 1
    return starts[::-1]


def _frames(clips: list[ClipLocation], length: int, index: int) -> FloatArray:
    """Read the frames [t, 1, 128, 128] of a clip."""
    clip = clips[index]
    frames: NDArray[np.uint8] = np.load(clip.decoded, mmap_mode="r")[clip.first : clip.first + length]
    return np.asarray(frames[:, None] / np.float32(255), np.float32)


def _decoded(video: Video, cache_folder: Path) -> Path:
    """Return the numpy file of a decoded video; decode the video on first use."""
    files = video.files()
    state = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    key = hashlib.sha256(repr((str(video.path.resolve()), SIDE, state)).encode()).hexdigest()[:16]
    path = cache_folder / f"{video.name}-{key}.npy"
    if not path.exists():
        frames = [_grey(frame) for frame in (_read_avi(video.path) if video.path.is_file() else _read_images(files))]
        if not frames:
            raise dataset_error("OpenCV cannot read the video, or the folder has no frames", video.path, SITE)
        with atomic_file(path) as file:
            np.save(file, np.stack(frames))
    return path


def _read_avi(path: Path) -> Iterator[NDArray[np.uint8]]:
    capture = cv2.VideoCapture(str(path))
    try:
        while True:
            read, frame = capture.read()
            if not read:
                return
            yield np.asarray(frame, np.uint8)
    finally:
        capture.release()


def _read_images(files: list[Path]) -> Iterator[NDArray[np.uint8]]:
    for file in files:
        frame = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR) if file.stat().st_size else None
        if frame is None:
            raise InputError("not an image", where=str(file), hint="Extract the video again")
        yield np.asarray(frame, np.uint8)


def _grey(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a grey frame [128, 128], resized from 160 x 120 without keeping the aspect ratio."""
    return np.asarray(cv2.resize(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), (SIDE, SIDE)), np.uint8)


def _numbers(video: Video, frames: int) -> NDArray[np.intp]:
    """Return the number of each frame in a video, from 1 on."""
    if video.path.is_file():
        return np.arange(1, frames + 1, dtype=np.intp)
    return np.array([_number_of(file) for file in video.files()], np.intp)


def _number_of(image: Path) -> int:
    match = IMAGE.fullmatch(image.name)
    return int(match[1]) if match else 0


def _frames_in_sight(folder: Path) -> dict[str, NDArray[np.intp]]:
    """Return the numbers of the frames in sight by video, if the site's list is in the folder."""
    path = folder / SEQUENCES
    if not path.is_file():
        return {}
    listed: dict[str, NDArray[np.intp]] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, ranges = line.strip().partition("frames")
        if VIDEO.fullmatch(name.strip()):
            spans = re.findall(r"(\d+)\s*-\s*(\d+)", ranges)
            frames = [np.arange(int(first), int(last) + 1, dtype=np.intp) for first, last in spans]
            listed[name.strip()] = np.concatenate([*frames, np.empty(0, np.intp)])
    return listed
