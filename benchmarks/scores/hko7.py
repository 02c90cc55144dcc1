"""`python -m benchmarks.scores.hko7 DIR`: the scores of Echocast and those of HKO-7's public code on random arrays.

DIR is a checkout of https://github.com/sxjscience/HKO-7. Only `nowcasting/hko_evaluation.py` is loaded, with the numba
functions that it imports and their configuration; stand-ins replace numba, the reader of the archive and SSIM.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from benchmarks.command_line import argument_parser
from model.core.contingency import contingency_score, ratio
from model.core.units import FloatArray
from model.verify.accumulators import ERRORS
from model.verify.frames import FramePair, MaskedFrame
from model.verify.protocols import HKO7_FIXED, Protocol
from model.verify.scores import contingency_tables

LEADS, SEQUENCES, SHAPE = 20, 3, (48, 40)
SEED = 7
CELLS = ("hits", "misses", "false_alarms", "correct_negatives")
"""Names in the official code, in the order of `model.verify.scores.contingency_tables`."""
Array = NDArray[np.float64]


def official_module(folder: Path) -> ModuleType:
    """Import the evaluation module of HKO-7."""
    stub_numba()
    sys.modules["nowcasting.hko_iterator"] = iterator = ModuleType("hko_iterator")
    iterator.__dict__["get_exclude_mask"] = lambda: np.zeros(SHAPE, np.uint8)
    sys.modules["nowcasting.helpers.msssim"] = ssim = ModuleType("msssim")
    ssim.__dict__["_SSIMForMultiScale"] = None
    sys.path.insert(0, str(folder))
    np.int = int  # type: ignore[attr-defined]  # removed in NumPy 1.24
    with patch("os.path.exists", return_value=True):  # its configuration checks for the archive
        import_module("nowcasting.config")
    return import_module("nowcasting.hko_evaluation")


def stub_numba() -> None:
    """Replace numba by a module whose `jit` leaves functions as they are."""
    sys.modules["numba"] = numba = ModuleType("numba")
    types = {name: lambda *arguments: None for name in ("float32", "float64", "int32", "boolean")}
    numba.__dict__.update(jit=lambda signature: lambda function: function, **types)


def random_arrays() -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Return truth in whole pixel values, forecast and mask [lead, sequence, 1, y, x].

    The arrays have heavy rain and two missing frames.
    """
    rng = np.random.default_rng(SEED)
    shape = (LEADS, SEQUENCES, 1, *SHAPE)
    truth = np.where(rng.random(shape) < 0.4, 0, rng.integers(0, 256, shape)).astype(np.float32) / np.float32(255)
    forecast = np.clip(truth + rng.normal(0, 0.1, shape), 0, 1).astype(np.float32)
    mask = rng.random(shape) < 0.77
    mask[3, 1] = mask[4, 1] = False
    return truth, forecast, mask


def echocast_scores(
    protocol: Protocol, truth: FloatArray, forecast: FloatArray, mask: NDArray[np.bool_]
) -> dict[str, Array]:
    """Return the scores of Echocast, accumulated as in `echocast verify`."""
    accumulators = protocol.accumulators([6.0 * (lead + 1) for lead in range(len(truth))], SHAPE)
    sums = accumulators.zeros(1)
    for lead, sequence in np.ndindex(*truth.shape[:2]):
        index = (lead, sequence, 0)
        frames = [MaskedFrame.from_fraction(array[index], mask[index]) for array in (forecast, truth)]
        accumulators.add(sums, 0, lead, FramePair(forecast=frames[0], truth=frames[1], scored=mask[index]))
    tables = contingency_tables(sums["joint_histogram"][0], accumulators.threshold_indices)
    errors = dict(zip(ERRORS, sums["errors"][0] / sums["sequences"][0], strict=True))
    return {
        **{name: tables[cell].T for name, cell in zip(CELLS, tables, strict=True)},
        **{name: contingency_score(tables, name).T for name in ("pod", "far", "csi", "hss")},
        "mse": errors["squared"],
        "mae": errors["absolute"],
        "b_mse": errors["balanced_squared"],
        "b_mae": errors["balanced_absolute"],
        **{name: ratio(*sums[name][0]) for name in ("ssim", "psnr") if protocol.ssim_psnr_at_all_leads},
    }


def official_scores(
    module: ModuleType, truth: FloatArray, forecast: FloatArray, mask: NDArray[np.bool_]
) -> dict[str, Array]:
    """Return the scores of the official code, one sequence after the other."""
    evaluation = module.HKOEvaluation(seq_len=LEADS, use_central=False)
    for sequence in range(SEQUENCES):
        one = slice(sequence, sequence + 1)
        evaluation.update(gt=truth[:, one], pred=forecast[:, one], mask=mask[:, one])
    names = ("pod", "far", "csi", "hss", "gss", "mse", "mae", "b_mse", "b_mae", "gdl")
    scores = dict(zip(names, evaluation.calculate_stat(), strict=True))
    return {**{name: getattr(evaluation, f"_total_{name}") for name in CELLS}, **scores}


def print_differences(echocast: Mapping[str, Array], official: Mapping[str, Array]) -> None:
    """Print the largest difference of each score that both have."""
    print("| score | of size | largest difference | relative |\n|---|---|---|---|")
    for name, value in echocast.items():
        difference = np.abs(value - np.asarray(official[name], np.float64))
        size = np.abs(value).max()
        print(f"| {name} | {size:.6g} | {difference.max():.2g} | {difference.max() / size:.1g} |")


def main() -> None:
    """Print the differences between both."""
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="A checkout of github.com/sxjscience/HKO-7.")
    folder: Path = parser.parse_args().folder
    arrays = random_arrays()
    print(f"{LEADS} leads, {SEQUENCES} sequences of {SHAPE[0]} x {SHAPE[1]} pixels, seed {SEED}")
    print_differences(echocast_scores(HKO7_FIXED, *arrays), official_scores(official_module(folder), *arrays))


if __name__ == "__main__":
    main()
