"""Which device networks really run on: `python -m model.runtime.probe [PACKAGES]` prints it as one line of JSON.

A process of its own, because a driver or a graph that is broken may end the process, or never return. The model that
`auto` resolves to is loaded, with its digests verified, and makes one small forecast.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from model.core.catalog import AUTO, open_catalog
from model.core.errors import DeviceLost, InputError


def probe(packages: Path | None = None) -> dict[str, str]:
    """Return the `model` that ran, its `variant` with the device, and a `note` where it is a fallback.

    Raises
    ------
    InputError
        The model cannot be loaded, or the requested device is not available.
    DeviceLost
        The device does not respond.
    """
    from model.runtime.load import load_predictor

    resolution = open_catalog(packages).resolve(AUTO)
    predictor = load_predictor(resolution.models[0])
    predictor.warm_up()
    return {"model": predictor.info.reference, "variant": predictor.variant, "note": resolution.note}


def main() -> None:
    """Print the result, or the error."""
    try:
        result = probe(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    except InputError as error:
        result = {"what": error.what, "hint": error.hint}
    except DeviceLost as error:
        result = {"what": f"the device does not respond ({error})", "hint": "Restart the machine, or check its driver"}
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
