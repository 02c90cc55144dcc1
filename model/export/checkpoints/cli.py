"""`echocast models import`: a package of somebody else's weights."""

from __future__ import annotations

import re
from pathlib import Path

import click

from model.core.errors import InputError
from model.core.manifest import DataKind, Form, Imported, TimeStepRange
from model.core.package_digest import file_sha256
from model.export.card import FORMS, import_remarks
from model.export.checkpoints.convert import Converted, convert, read_checkpoint
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
    """Write the package of a checkpoint and return its folder; tell on stderr what was left out and what to know of it.

    The network reads and answers pixel fractions as they are: no mask, no time, no motion taken out. `steps`: minutes,
    from and to; None where `kind` says that its frames are not rain. `form`: see `model.export.checkpoints.convert`.

    Raises
    ------
    InputError
        The file is no checkpoint of this family's, its frames cannot be of this kind, or its fields are not
        named.
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
    for left in sorted({re.sub(r"\.\d+\.", ".N.", key) for key in converted.dropped}):
        click.echo(f"left out, their network does not use it: {left}", err=True)
    for line in import_remarks(imported):
        click.echo(line, err=True)
    return folder


def _check(converted: Converted, kind: DataKind, fields: tuple[str, ...], path: Path) -> None:
    config = converted.config
    if kind == "rain" and config.channels != 1:
        raise InputError(
            f"its frames have {config.channels} channels, which cannot be rain",
            where=str(path),
            hint="Import a network that was trained on frames of one channel, or say --kind frames",
        )
    if bool(config.fields) != bool(fields):
        raise InputError(
            f"it is conditioned on {config.fields} planes per frame, and {len(fields)} fields are named",
            where=str(path),
            hint="Name the fields with --field, once each, in their order" if config.fields else "Give no --field",
        )
