"""`python -m benchmarks.scores.ms_rnn DIR`: the scores of Echocast and those of MS-RNN's public code on random arrays.

DIR is a checkout of https://github.com/mazhf/MS-RNN. Only `util/evaluation.py` is loaded, with the modules that it
imports, and set to HKO-7. Stand-ins replace unused readers, and numba, because its current versions reject the code.
"""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np

from benchmarks.command_line import argument_parser
from benchmarks.scores import hko7
from model.core.units import FloatArray
from model.verify.protocols import MS_RNN

LEADS = 19
SCORES = ("ssim", "psnr", "gdl", "b_mse", "b_mae", "mse", "mae", "pod", "far", "csi", "hss")
"""In the order in which the official code returns them."""


def official_module(folder: Path) -> ModuleType:
    """Import the evaluation module of MS-RNN."""
    hko7.stub_numba()
    core, errors, h5py = (ModuleType(name) for name in ("core", "errors", "h5py"))
    kinds = ("NumbaWarning", "NumbaDeprecationWarning", "NumbaPendingDeprecationWarning")
    errors.__dict__.update({name: type(name, (Warning,), {}) for name in kinds})
    sys.modules.update({"numba.core": core, "numba.core.errors": errors, "h5py": h5py})
    sys.path.insert(0, str(folder))
    import_module("config").cfg.dataset = "HKO-7"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return import_module("util.evaluation")


def official_scores(module: ModuleType, truth: FloatArray, forecast: FloatArray) -> dict[str, hko7.Array]:
    """Return the scores of the official code, all sequences as one batch."""
    evaluation = module.Evaluation(seq_len=LEADS, use_central=False)
    evaluation.update(truth, forecast)
    cells = {name: getattr(evaluation, f"_total_{name}") for name in hko7.CELLS}
    return {**cells, **dict(zip(SCORES, evaluation.get_metrics(), strict=True))}


def main() -> None:
    """Print the differences between both."""
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="A checkout of github.com/mazhf/MS-RNN.")
    folder: Path = parser.parse_args().folder
    truth, forecast, _ = (array[:LEADS] for array in hko7.random_arrays())
    truth[7, 0] = forecast[7, 0] = 0  # a dry frame without an error
    everywhere = np.ones(truth.shape, np.bool_)
    print(f"{LEADS} leads, {hko7.SEQUENCES} sequences of {hko7.SHAPE[0]} x {hko7.SHAPE[1]} pixels, seed {hko7.SEED}")
    echocast = hko7.echocast_scores(MS_RNN, truth, forecast, everywhere)
    hko7.print_differences(echocast, official_scores(official_module(folder), truth, forecast))


if __name__ == "__main__":
    main()
