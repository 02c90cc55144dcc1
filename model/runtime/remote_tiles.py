"""Tiles of a large domain that other workers compute: the protocol of the transport, and the encoding."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from model.core.units import FloatArray
from model.runtime.graph_session import ForecastInput, GraphSession
from model.runtime.spill_file import pack_fraction, unpack_fraction

if TYPE_CHECKING:
    from model.runtime.forecast_task import TileTask


class RemoteTiles(Protocol):
    """Other workers that may compute tiles of a forecast that is too large for one wave."""

    def offer(self, tiles: Sequence[TileTask]) -> None:
        """Offer the tiles of a forecast, in the order in which they are computed locally."""

    def frames(self, tile: TileTask, local: Iterator[FloatArray | None]) -> Iterator[FloatArray | None]:
        """Yield the planes [1, plane, y, x] of an offered tile, from another worker or else from `local`.

        The value is None as long as no frame is available.
        """


def encode_tile(tile: TileTask) -> bytes:
    """Return a tile as bytes, for `forecast_encoded_tile`."""
    inputs = tile.inputs
    arrays: dict[str, NDArray[np.generic]] = {
        "data": inputs.data,
        "known": np.packbits(inputs.known.astype(np.bool_)),
        "step_minutes": np.array(inputs.step_minutes),
        "ceiling": np.array(inputs.ceiling),
        "steps": np.array(tile.steps),
    }
    return _pack(arrays if inputs.fields is None else {**arrays, "fields": inputs.fields})


def forecast_encoded_tile(session: GraphSession, encoded: bytes) -> bytes:
    """Compute a tile, and return its frames for `decode_frames`.

    Raises
    ------
    ValueError
        The network returned NaN. The worker that has the forecast computes the tile again, and reports the error.
    """
    arrays = _unpack(encoded)
    data = np.asarray(arrays["data"], np.float32)
    known = np.unpackbits(np.asarray(arrays["known"], np.uint8), count=data[:, :1].size).reshape(data[:, :1].shape)
    inputs = ForecastInput(
        data=data,
        known=known.astype(np.bool_),
        step_minutes=float(arrays["step_minutes"]),
        fields=np.asarray(arrays["fields"], np.float32) if "fields" in arrays else None,
        ceiling=float(arrays["ceiling"]),
    )
    frames = np.stack(list(session.run(inputs, int(arrays["steps"]))))
    if not np.isfinite(frames).all():
        raise ValueError("the network returned NaN")
    return _pack({"frames": pack_fraction(frames)})


def decode_frames(tile: TileTask, encoded: bytes) -> Iterator[FloatArray]:
    """Return the planes [1, plane, y, x] of a tile that another worker computed.

    Raises
    ------
    ValueError
        The number or the shape of the frames is wrong.
    """
    frames = np.asarray(_unpack(encoded)["frames"], np.uint16)
    if (len(frames), *frames.shape[2:]) != (tile.steps, *tile.tile.shape):
        raise ValueError(f"a tile has the shape {frames.shape}, not {(tile.steps, 'planes', *tile.tile.shape)}")
    return (unpack_fraction(planes)[None] for planes in frames)


def _pack(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return bytes(isal_zlib.compress(buffer.getbuffer(), 1))


def _unpack(data: bytes) -> dict[str, NDArray[np.generic]]:
    with np.load(io.BytesIO(isal_zlib.decompress(data)), allow_pickle=False) as arrays:
        return dict(arrays)
