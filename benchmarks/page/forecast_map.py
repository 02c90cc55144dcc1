"""`python -m benchmarks.page.forecast_map FORECAST.nc IMAGE.png`: maps of the first and the last lead of a forecast."""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import netCDF4
import numpy as np
from matplotlib import pyplot as plt

from model.core.rain_scale import rain_colormap

WIDTH_PX = 1400


def main() -> None:
    """Draw it; a pixel of the picture is the heaviest of the domain's that it stands for, so that no cell is lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("forecast", type=Path)
    parser.add_argument("picture", type=Path)
    asked = parser.parse_args()
    mpl.use("agg")
    colours, norm = rain_colormap()
    with netCDF4.Dataset(asked.forecast) as forecast:
        rain, seconds = forecast["rainfall_rate"], forecast["forecast_period"]
        ny, nx = rain.shape[1:]
        each = max(1, nx // WIDTH_PX)
        figure, axes = plt.subplots(2, 1, figsize=(11, 2 * 11 * ny / nx + 1), layout="constrained")
        for axis, index in zip(axes, (0, len(seconds) - 1), strict=True):
            frame = np.ma.filled(rain[index], np.nan)[: ny // each * each, : nx // each * each]
            blocks = frame.reshape(ny // each, each, nx // each, each)
            shown = np.ma.masked_invalid(np.fmax.reduce(np.fmax.reduce(blocks, axis=3), axis=1))
            drawn = axis.imshow(shown, colours, norm, interpolation="none")
            title = f"{forecast.source}, +{float(seconds[index]) / 60:g} min, {ny} x {nx}"
            axis.set(title=title, xticks=[], yticks=[])
        figure.colorbar(drawn, ax=axes, label="mm/h", shrink=0.5)
        figure.savefig(asked.picture, dpi=80)


if __name__ == "__main__":
    main()
