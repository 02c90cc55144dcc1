"""The check that the network of a recipe can read the windows of a data source."""

from __future__ import annotations

from typing import Final

from model.core.errors import InputError
from model.core.manifest import DataKind
from model.data.windows import Window
from model.nets.stack import StackConfig
from model.train.recipe import SCORED_MM_H, RainLoss, Recipe

RAIN_HINT: Final = "Train it with --archive, or choose a recipe for frames, such as mnist-predrnn"


def check_windows(recipe: Recipe, window: Window, kind: DataKind) -> None:
    """Check that a recipe fits a window of its data.

    Raises
    ------
    InputError
        Its loss or its selection thresholds do not fit the kind of data, or its network cannot read the window.
    """
    config, net = recipe.model, recipe.model.net
    frames, channels, rows, columns = window.context.shape
    fields = 0 if window.fields is None else window.fields.shape[1]
    reason, hint = "", "Choose another recipe, or other data"
    if isinstance(recipe.loss, RainLoss) and kind != "rain":
        reason, hint = "its loss is for rain, and these frames are not rain", RAIN_HINT
    elif kind == "rain" and not recipe.selection_thresholds_mm_h:
        reason = "no selection threshold is set, by which the best weights for rain are chosen"
        hint = f"Add --set selection_thresholds_mm_h={','.join(f'{each:g}' for each in SCORED_MM_H)}, or some of them"
    elif channels != config.channels:
        reason = f"the frames have {channels} channels, the network reads {config.channels}"
        hint = f"Add --set model.channels={channels}, or choose other data"
    elif frames != recipe.windows.context:
        reason = f"the windows have {frames} context frames, the recipe needs {recipe.windows.context}"
    elif rows % net.stride or columns % net.stride:
        reason = f"the frames are {rows} x {columns}, the network needs multiples of {net.stride}"
        if kind == "rain":
            fitting = [side for side in (rows - rows % net.stride, rows + -rows % net.stride) if side]
            hint = f"Add {' or '.join(f'--set windows.crop={side}' for side in fitting)}"
    elif isinstance(net, StackConfig) and net.grid not in (None, (rows, columns)):
        reason = f"the frames are {rows} x {columns}, the network is bound to {net.grid}"
    elif fields != config.fields:
        reason = f"the windows have {fields} exogenous fields, the network reads {config.fields}"
    if reason:
        raise InputError(reason, where=f"recipe {recipe.name}", hint=hint)
