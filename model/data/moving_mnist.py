"""Moving MNIST (Srivastava et al. 2015, arXiv 1502.04681): two digits that move in straight lines and bounce.

The digits come from MNIST (`train-images-idx3-ubyte`), or are drawn with OpenCV's fonts, which needs no download. The
latter are as hard to forecast, but only scores on `mnist_test_seq.npy` are comparable with those of the papers.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from model.core.errors import InputError
from model.core.units import FloatArray
from model.data.video_clips import dataset_error, digest_files, fixed_batches, window_from_clip
from model.data.windows import Provenance, Window

GLYPH_SIDE: Final = 28
SIDE: Final = 64
DIGITS: Final = 2
STEP_LENGTH: Final = 0.1
"""Motion per frame as a fraction of the free range, as in the training sequences of OpenSTL (arXiv 2306.11249)."""

STEP_MINUTES: Final = 1.0
MNIST_SITE: Final = "the MNIST page, file train-images-idx3-ubyte.gz"
TEST_SITE: Final = "https://www.cs.toronto.edu/~nitish/unsupervised_video, file mnist_test_seq.npy"
TEST_FILE: Final = "mnist_test_seq.npy"
IMAGE_FILES: Final = tuple(f"train-images{dot}idx3-ubyte{suffix}" for dot in ("-", ".") for suffix in ("", ".gz"))
IDX_IMAGES: Final = 0x00000803
HELD_OUT_DIVISOR: Final = 6
"""The last sixth of an MNIST file is never trained on: without the official test file, held-out sequences are generated
from it. Of drawn digits, a sixth more are drawn for that purpose."""

DRAWN_DIGITS: Final = 2000
OVERSAMPLING: Final = 4
"""Digits are drawn at this multiple of their size, then reduced."""

FONTS: Final = (
    cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
)  # fmt: skip


class MovingMNIST:
    """The Moving MNIST data set; see `model.data.datasets.WindowDataset`.

    Parameters
    ----------
    glyphs
        Digits for training, uint8 [n, 28, 28].
    held_out_glyphs
        Digits for held-out sequences, uint8 [n, 28, 28]; unused with `test`.
    provenance
        Provenance of the digits and of `test`.
    test
        The official test sequences, uint8 [20, n, 64, 64].
    context, leads
        Frames in and out.

    Raises
    ------
    InputError
        The test sequences are shorter than a window.
    """

    channels = 1
    kind: Literal["rain", "frames"] = "frames"

    def __init__(
        self,
        glyphs: NDArray[np.uint8],
        held_out_glyphs: NDArray[np.uint8],
        *,
        provenance: Provenance,
        test: NDArray[np.uint8] | None = None,
        context: int = 10,
        leads: int = 10,
    ) -> None:
        if test is not None and context + leads > test.shape[0]:
            raise InputError(
                f"the test sequences have {test.shape[0]} frames, a window needs {context} + {leads}",
                where=TEST_FILE,
                hint="Use fewer frames, or remove the file: held-out sequences are then generated",
            )
        self.glyphs = glyphs
        self.held_out_glyphs = held_out_glyphs
        self.test = test
        self.context = context
        self.leads = leads
        self._provenance = provenance

    def training(self, rng: np.random.Generator, batch: int) -> Iterator[list[Window]]:
        """Yield batches of generated sequences without end."""
        while True:
            yield self._generate(self.glyphs, rng, batch)

    def held_out(self, seed: int, batch: int, count: int) -> list[list[Window]]:
        """Return official test sequences, or sequences generated from digits that are not trained on."""
        if self.test is not None:
            clip = partial(_test_clip, self.test, self.context + self.leads)
            return fixed_batches(clip, self.test.shape[1], self.context, STEP_MINUTES, seed, batch, count)
        rng = np.random.default_rng(seed)
        sizes = [min(batch, count - first) for first in range(0, count, batch)]
        return [self._generate(self.held_out_glyphs, rng, size) for size in sizes]

    def provenance(self) -> Provenance:
        """Return the provenance of the digits and of the test sequences."""
        return self._provenance

    def _generate(self, glyphs: NDArray[np.uint8], rng: np.random.Generator, batch: int) -> list[Window]:
        clips = [_scale(generate_sequence(glyphs, self.context + self.leads, rng)) for _ in range(batch)]
        return [window_from_clip(clip, self.context, STEP_MINUTES) for clip in clips]


def open_moving_mnist(path: Path | None = None, *, context: int = 10, leads: int = 10) -> MovingMNIST:
    """Open the data set `moving-mnist` or `moving-mnist:PATH`; see docs/datasets.md.

    Parameters
    ----------
    path
        An MNIST image file, the official test file, or a folder of one or both; None for drawn digits.
    context, leads
        Frames in and out.

    Raises
    ------
    InputError
        The file does not exist or is not the expected one.
    """
    images, test = _find_files(path)
    if images is None:
        glyphs, held_out = draw_digits(DRAWN_DIGITS, seed=0), draw_digits(DRAWN_DIGITS // HELD_OUT_DIVISOR, seed=1)
        digest = hashlib.sha256(glyphs.tobytes() + (digest_files([test]).encode() if test else b"")).hexdigest()
        source = "Moving MNIST of digits drawn by echocast"
    else:
        mnist = read_idx_images(images)
        border = len(mnist) - max(1, len(mnist) // HELD_OUT_DIVISOR)
        glyphs, held_out = mnist[:border], mnist[border:]
        digest = digest_files([images, test] if test else [images])
        source = "Moving MNIST of MNIST's digits"
    provenance = Provenance(digest=digest, days=(), sources=(source,))
    sequences = None if test is None else read_test_sequences(test)
    return MovingMNIST(glyphs, held_out, provenance=provenance, test=sequences, context=context, leads=leads)


def generate_sequence(
    glyphs: NDArray[np.uint8], frames: int, rng: np.random.Generator, digits: int = DIGITS
) -> NDArray[np.uint8]:
    """Return a sequence uint8 [t, 64, 64] of moving digits; where digits overlap, the brighter pixel counts."""
    video = np.zeros((frames, SIDE, SIDE), np.uint8)
    for _ in range(digits):
        glyph = glyphs[rng.integers(len(glyphs))]
        for frame, (top, left) in zip(video, trajectory(frames, rng), strict=True):
            place = frame[top : top + GLYPH_SIDE, left : left + GLYPH_SIDE]
            np.maximum(place, glyph, out=place)
    return video


def trajectory(frames: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return top and left [t, 2] of a digit in pixels; it moves straight, stays a frame at the border, and bounces."""
    position, angle = rng.random(2), rng.random() * 2 * np.pi
    step = STEP_LENGTH * np.array([np.sin(angle), np.cos(angle)])
    corners = np.empty((frames, 2))
    for corner in corners:
        position = position + step
        step = np.where((position <= 0) | (position >= 1), -step, step)
        position = np.clip(position, 0, 1)
        corner[:] = position
    return (corners * (SIDE - GLYPH_SIDE)).astype(np.intp)


def draw_digits(number: int, seed: int) -> NDArray[np.uint8]:
    """Draw digits uint8 [n, 28, 28] in OpenCV's fonts, of random thickness, slant and size, in a box of 20 pixels."""
    rng = np.random.default_rng(seed)
    return np.stack([_draw_digit(index % 10, rng) for index in range(number)])


def _draw_digit(digit: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    side = GLYPH_SIDE * OVERSAMPLING
    font, thickness = FONTS[rng.integers(len(FONTS))], int(rng.integers(4, 11))
    canvas = np.zeros((2 * side, 2 * side), np.uint8)
    cv2.putText(canvas, str(digit), (side // 2, 3 * side // 2), font, 4.0, 255, thickness, cv2.LINE_AA)
    left, top, width, height = cv2.boundingRect(canvas)
    size = OVERSAMPLING * rng.uniform(17, 20) / max(width, height)
    slant, turn = rng.uniform(-0.3, 0.3), rng.uniform(-0.15, 0.15)
    linear = size * np.array([[1, slant], [turn, 1]])
    middle = np.array([left + (width - 1) / 2, top + (height - 1) / 2])
    shift = (side - 1) / 2 - linear @ middle
    large = cv2.warpAffine(canvas, np.column_stack([linear, shift]), (side, side), flags=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(large, (GLYPH_SIDE, GLYPH_SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def read_idx_images(path: Path) -> NDArray[np.uint8]:
    """Read images [n, 28, 28] of MNIST's idx format, compressed by gzip or not.

    Raises
    ------
    InputError
        The file has another format, or is truncated.
    """
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise dataset_error(f"the gzip file is damaged ({error})", path, MNIST_SITE) from None
    if len(content) < 16:
        raise dataset_error("not an idx file of images: it has no header", path, MNIST_SITE)
    magic, number, height, width = struct.unpack(">IIII", content[:16])
    if magic != IDX_IMAGES or (height, width) != (GLYPH_SIDE, GLYPH_SIDE):
        raise dataset_error("not an idx file of images of 28 x 28 pixels", path, MNIST_SITE)
    if number < 2 or len(content) != 16 + number * height * width:
        raise dataset_error(
            f"the header promises {number} images, the file holds {len(content) - 16} bytes", path, MNIST_SITE
        )
    return np.frombuffer(content, np.uint8, offset=16).reshape(number, height, width)


def read_test_sequences(path: Path) -> NDArray[np.uint8]:
    """Memory-map the official test sequences, uint8 [20, n, 64, 64].

    Raises
    ------
    InputError
        The file is not the expected one.
    """
    try:
        test: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise dataset_error(f"not a numpy file ({error})", path, TEST_SITE) from None
    if test.dtype != np.uint8 or test.ndim != 4 or test.shape[2:] != (SIDE, SIDE):
        raise dataset_error(f"{test.dtype} {list(test.shape)}, not uint8 [20, 10000, 64, 64]", path, TEST_SITE)
    return test


def _find_files(path: Path | None) -> tuple[Path | None, Path | None]:
    """Return MNIST's image file and the official test file, each None if it is missing."""
    if path is None:
        return None, None
    if not path.exists():
        raise dataset_error("no such file or folder", path, f"{MNIST_SITE}, or {TEST_SITE}")
    if path.is_file():
        return (None, path) if path.suffix == ".npy" else (path, None)
    images = next((path / name for name in IMAGE_FILES if (path / name).is_file()), None)
    test = path / TEST_FILE if (path / TEST_FILE).is_file() else None
    if images is None and test is None:
        raise dataset_error(
            f"the folder has neither {IMAGE_FILES[0]}[.gz] nor {TEST_FILE}", path, f"{MNIST_SITE}, or {TEST_SITE}"
        )
    return images, test


def _test_clip(test: NDArray[np.uint8], frames: int, index: int) -> FloatArray:
    return _scale(test[:frames, index])


def _scale(frames: NDArray[np.uint8]) -> FloatArray:
    """Convert frames [t, y, x] of 0 to 255 into [t, 1, y, x] of 0 to 1."""
    return (frames.astype(np.float32) / np.float32(255))[:, None]
