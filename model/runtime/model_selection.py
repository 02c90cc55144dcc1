"""Which model runs for an input: the one that was requested, or for `auto` the first that fits the frames."""

from __future__ import annotations

from typing import NamedTuple

from model.core.catalog import Catalog
from model.core.errors import InputError
from model.core.model_info import ModelInfo
from model.core.sequence import FrameSequence
from model.runtime.frame_selection import check_coverage, note_repeated_frames, select_context
from model.runtime.outages import mask_outages


class ModelSelection(NamedTuple):
    """The model that runs, the frames that it reads, and a comment for the forecast file."""

    info: ModelInfo
    context: FrameSequence
    note: str


def select_model(sequence: FrameSequence, reference: str, catalog: Catalog) -> ModelSelection:
    """Select the model for an input, and the frames that it reads.

    A model that is requested by name must fit: the time step, the number of frames, and how much of them holds data.
    `auto` is the champion where it fits, else the default model, else extrapolation.

    Parameters
    ----------
    sequence : FrameSequence
        All frames of the input.
    reference : str
        `NAME`, `NAME@VERSION`, an alias, or `auto`.
    catalog : Catalog
        The models that can run here.

    Returns
    -------
    ModelSelection
        Its note says why the requested model does not run, and what is missing among the frames.

    Raises
    ------
    InputError
        The requested model does not exist or does not fit; nor does extrapolation.
    """
    models, note = catalog.resolve(reference)
    notes = [note] if note else []
    incompatibilities: list[InputError] = []
    for info in models:
        try:
            context = mask_outages(select_context(sequence, info))
            missing = check_coverage(context, info)
        except InputError as error:
            incompatibilities.append(error)
            notes.append(f"{info.reference} does not fit the input: {error.what}")
        else:
            notes = [*missing, *notes, *context.notes, *note_repeated_frames(context)]
            return ModelSelection(info, context, "; ".join(notes))
    raise incompatibilities[-1]
