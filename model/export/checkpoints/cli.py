"""`echocast models import`: make a package of a published checkpoint."""

from __future__ import annotations

import re
from pathlib import Path

import click

from model.core.errors import InputError
from model.core.manifest import DataKind, Form, Imported, TimeStepRange
from model.core.package_digest import file_sha256
from model.export.card import FORMS, import_remarks
from model.export.checkpoints.convert import ConvertedCheckpoint, convert, read_checkpoint
from model.export.package import ANY_TIME_STEP, write_package
from model.nets.simvp import SimVPConfig

DEFAULT_INPUT_FRAMES = 10


def import_checkpoint(
    path: Path,
    *,
    family: str,
    network: str,
    name: str,
    version: str,
    out: Path,
    input_frames: int | None,
    kind: DataKind,
    steps: tuple[float, float] | None,
    fields: tuple[str, ...],
    licence: str,
    form: Form = "as-published",
) -> Path:
    """Write the package of a checkpoint, and log ignored tensors and remarks to stderr.

    The network reads and predicts pixel fractions, without mask, time or Lagrangian frames.

    Parameters
    ----------
    path
        File of `torch.save`.
    family, network, form
        See `model.export.checkpoints.convert.convert`.
    name, version, licence
        Of the package.
    out
        Folder of packages.
    input_frames
        Frames that the model reads; by default 10, or as many as the network is built for.
    kind
        Kind of the frames.
    steps
        Shortest and longest time step in minutes; None for frames other than rain.
    fields
        Names of the conditioning fields.

    Returns
    -------
    Path
        Folder of the package.

    Raises
    ------
    InputError
        The file is not a checkpoint of this repository, the frames cannot be of this kind, or the fields are not named.
    """
    tensors = read_checkpoint(path)
    try:
        converted = convert(tensors, family, network=network, form=form)
    except InputError as error:
        where = f"{path}, {error.where}" if error.where else str(path)
        raise InputError(error.what, where=where, hint=error.hint) from None
    _check(converted, kind, fields, path)
    net = converted.config.net
    frames = net.frames if isinstance(net, SimVPConfig) else DEFAULT_INPUT_FRAMES
    time_step = TimeStepRange(min_minutes=steps[0], max_minutes=steps[1]) if steps else ANY_TIME_STEP
    imported = Imported(
        family=family,
        network=converted.network,
        checkpoint_sha256=file_sha256(path),
        form=form,
        faults=converted.faults,
        remarks=converted.remarks,
    )
    computes = f", {FORMS[form]}" if converted.faults else ""
    folder = write_package(
        converted.build_model(),
        {
            "name": name,
            "version": version,
            "summary": f"{converted.network} of {family}{computes}, from {path.name}.",
            "architecture": converted.network,
            "input_frames": frames if input_frames is None else input_frames,
            "kind": kind,
            "time_step": time_step,
            "frame_of_reference": "eulerian",
            "fields": fields,
            "licence": licence,
            "imported": imported,
        },
        out,
    )
    for key in sorted({re.sub(r"\.\d+\.", ".N.", name) for name in converted.ignored}):
        click.echo(f"ignored, the published network does not use it: {key}", err=True)
    for line in import_remarks(imported):
        click.echo(line, err=True)
    return folder


def _check(converted: ConvertedCheckpoint, kind: DataKind, fields: tuple[str, ...], path: Path) -> None:
    config = converted.config
    if kind == "rain" and config.channels != 1:
        raise InputError(
            f"the frames have {config.channels} channels, which cannot be rain",
            where=str(path),
            hint="Import a network that was trained on frames of one channel, or add --kind frames",
        )
    if bool(config.fields) != bool(fields):
        raise InputError(
            f"the network is conditioned on {config.fields} planes per frame, but {len(fields)} fields are named",
            where=str(path),
            hint="Name the fields with --field, once each, in their order" if config.fields else "Omit --field",
        )
