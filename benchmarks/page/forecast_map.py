"""`python -m benchmarks.page.forecast_map FORECAST.nc IMAGE.png`: maps of the first and the last lead of a forecast."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import netCDF4
import numpy as np
from matplotlib import pyplot as plt

from benchmarks.command_line import argument_parser
from model.core.rain_scale import rain_colormap

WIDTH_PX = 1400


def main() -> None:
    """Draw the maps; a pixel of the image shows the heaviest rain of its area, so that no cell is lost."""
    parser = argument_parser(__doc__)
    parser.add_argument("forecast", type=Path)
    parser.add_argument("image", type=Path)
    args = parser.parse_args()
    mpl.use("agg")
    colours, norm = rain_colormap()
    with netCDF4.Dataset(args.forecast) as forecast:
        rain, seconds = forecast["rainfall_rate"], forecast["forecast_period"]
        ny, nx = rain.shape[1:]
        block = max(1, nx // WIDTH_PX)
        figure, axes = plt.subplots(2, 1, figsize=(11, 2 * 11 * ny / nx + 1), layout="constrained")
        for axis, index in zip(axes, (0, len(seconds) - 1), strict=True):
            frame = np.ma.filled(rain[index], np.nan)[: ny // block * block, : nx // block * block]
            blocks = frame.reshape(ny // block, block, nx // block, block)
            heaviest = np.ma.masked_invalid(np.fmax.reduce(np.fmax.reduce(blocks, axis=3), axis=1))
            image = axis.imshow(heaviest, colours, norm, interpolation="none")
            title = f"{forecast.source}, +{float(seconds[index]) / 60:g} min, {ny} x {nx}"
            axis.set(title=title, xticks=[], yticks=[])
        figure.colorbar(image, ax=axes, label="mm/h", shrink=0.5)
        figure.savefig(args.image, dpi=80)


if __name__ == "__main__":
    main()
