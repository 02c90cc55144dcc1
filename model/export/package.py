"""Write a network as a model package: weights, graph, manifest and card, after a check of the graph."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from safetensors.torch import save
from torch import nn

from model.core.atomic import translate_write_errors
from model.core.catalog import DEFAULT_MODEL
from model.core.errors import BadPackage, InputError
from model.core.manifest import RESERVED_NAMES, WEIGHTS, Manifest, TimeStepRange, first_problem, write_manifest
from model.core.package_digest import file_sha256
from model.export.card import write_card
from model.export.onnx import export_float32
from model.export.parity import Parity, check_parity
from model.export.trace import TracedNetwork, trace
from model.nets.forecast_model import ModelConfig, RecurrentFreeModel, RecurrentModel
from model.nets.profile import profile
from model.nets.simvp import SimVPConfig
from model.nets.stack import StackConfig
from model.runtime.exogenous_fields import planes_of

PARITY_LIMIT: Final = 1e-4
PARITY_STEPS: Final = 12
GRAPH: Final = "model.fp32.onnx"
CARD: Final = "card.md"

ANY_TIME_STEP: Final = TimeStepRange(min_minutes=1, max_minutes=60)
"""For networks that were not trained on radar: their frames have no time."""

CELL_NAMES: Final = {
    "conv-lstm": "convlstm", "traj-gru": "trajgru", "st-lstm": "predrnn", "causal-lstm": "predrnn-pp", "mim": "mim",
}  # fmt: skip


def write_package(
    net: RecurrentModel | RecurrentFreeModel,
    manifest_fields: Mapping[str, Any],
    out: Path,
    *,
    scores: Sequence[Mapping[str, Any]] = (),
    field_files: Sequence[Path] = (),
) -> Path:
    """Write a network with its weights as the package `out/NAME/VERSION`.

    Parameters
    ----------
    net
        The network.
    manifest_fields
        Fields of `Manifest` that do not follow from the network: name, version, summary, architecture, input_frames,
        time_step, licence, and others without a default (frame_of_reference, fields, training, ...).
    out
        Folder of packages.
    scores
        Output of `echocast verify --json`, for the card.
    field_files
        Files NAME.nc of exogenous fields that are constant in time, such as orography.

    Returns
    -------
    Path
        The folder of the package.

    Raises
    ------
    InputError
        The name is reserved, the version exists (versions never change), the network does not read the field of a
        file, or a model of frames that are not rain has the name of the default model.
    BadPackage
        The manifest is not valid, or the graph forecasts differently from PyTorch.
    """
    if (name := manifest_fields.get("name")) in RESERVED_NAMES:
        raise InputError(f"the name {name} is reserved", where="--name", hint="Give another --name")
    manifest = _manifest(net, manifest_fields)
    if manifest.kind != "rain" and manifest.name == DEFAULT_MODEL:
        raise InputError(
            f"{DEFAULT_MODEL} is the default model of rain; this one was trained on {manifest.kind} that are not rain",
            where="--name",
            hint="Give another --name",
        )
    folder = new_version(out, manifest.name, manifest.version)
    net.eval()
    with new_folder(folder) as draft:
        (draft / WEIGHTS).write_bytes(weights_of(net))
        for path in field_files:
            _add_field(path, manifest, draft)
        write_card(draft / CARD, manifest, scores, write_graph(net, trace(net), manifest, draft / GRAPH))
        files = {path.name: file_sha256(path) for path in sorted(draft.iterdir())}
        write_manifest(manifest.model_copy(update={"files": files}), draft)
    return folder


def new_version(out: Path, name: str, version: str) -> Path:
    """Return the folder of a new version.

    Raises
    ------
    InputError
        The version exists.
    """
    folder = out / name / version
    if folder.exists():
        raise InputError(
            "this version exists, and versions never change", where=str(folder), hint="Give a new --version"
        )
    return folder


def write_graph(
    net: RecurrentModel | RecurrentFreeModel, traced: TracedNetwork, manifest: Manifest, path: Path
) -> Parity:
    """Write the float32 graph of a network, and return its parity with PyTorch on the worst grid.

    Raises
    ------
    BadPackage
        The graph forecasts differently from PyTorch.
    """
    export_float32(traced, path)
    found = package_parity(net, manifest, path)
    for each in found:
        if not each.within:
            rounding = f", PyTorch and float64 by {each.rounding:.1e}" if each.rounding is not None else ""
            what = f"PyTorch and ONNX differ by {each.difference:.1e}, the limit is {PARITY_LIMIT:.0e}{rounding}"
            raise BadPackage(what, where=manifest.reference, hint="Report this network")
    return max(found, key=lambda each: each.difference)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `folder` at the end of the block; an error leaves nothing.

    Raises
    ------
    InputError
        The folder cannot be written.
    """
    with translate_write_errors(folder):
        created = [parent for parent in (folder.parent, folder.parent.parent) if not parent.exists()]
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as part:
                draft = Path(part) / folder.name
                draft.mkdir()
                yield draft
                shutil.move(draft, folder)
        finally:
            for parent in created if not folder.exists() else []:
                with suppress(OSError):  # another process has written a version there
                    parent.rmdir()


def _manifest(net: RecurrentModel | RecurrentFreeModel, fields: Mapping[str, Any]) -> Manifest:
    """Return the manifest without the digests of the files.

    Raises
    ------
    BadPackage
        A field is missing or not valid.
    """
    config = net.config
    from_net = {
        "config": json.loads(json.dumps(asdict(config))),
        "stride": config.net.stride,
        "grid": config.net.grid if isinstance(config.net, StackConfig) else None,
        "channels": config.channels,
        "layers": tuple(profile(net)),
        "variants": {"fp32": GRAPH},
        "files": dict.fromkeys((WEIGHTS, GRAPH), ""),  # digests follow when the files are written
    }
    try:
        manifest = Manifest.model_validate({**fields, **from_net})
    except ValidationError as error:
        raise BadPackage(first_problem(error), where="manifest", hint="Correct the field") from None
    if isinstance(config.net, SimVPConfig) and manifest.input_frames != config.net.frames:
        what = f"input_frames is {manifest.input_frames}, the network reads {config.net.frames} frames at once"
        raise BadPackage(what, where=manifest.reference, hint=f"Give {config.net.frames}")
    if manifest.fields and planes_of(manifest.fields) != config.fields:
        raise BadPackage(
            f"the fields {', '.join(manifest.fields)} are {planes_of(manifest.fields)} planes, the network reads "
            f"{config.fields}",
            where=manifest.reference,
            hint="Name the fields of the training",
        )
    return manifest


def _add_field(path: Path, manifest: Manifest, folder: Path) -> None:
    if path.stem not in manifest.fields:
        what = f"the network reads no field {path.stem} (its fields: {', '.join(manifest.fields) or 'none'})"
        raise InputError(what, where=str(path), hint="Name the file like the field, NAME.nc")
    try:
        shutil.copyfile(path, folder / f"field-{path.name}")
    except OSError as error:
        raise InputError(
            f"the field cannot be read ({error.strerror})", where=str(path), hint="Give a readable file"
        ) from None


def package_parity(net: RecurrentModel | RecurrentFreeModel, manifest: Manifest, graph: Path) -> list[Parity]:
    """Compare a graph with PyTorch on a square and an oblong grid, or the one grid that the network is bound to."""
    side = 4 * manifest.stride
    shapes = [manifest.grid] if manifest.grid else [(side, side), (side, 2 * side)]
    return [
        check_parity(net, graph, steps=PARITY_STEPS, shape=shape, frames=manifest.input_frames, limit=PARITY_LIMIT)
        for shape in shapes
    ]


def weights_of(net: nn.Module) -> bytes:
    """Return the weights as the bytes of a safetensors file."""
    return save({key: value.contiguous() for key, value in net.state_dict().items()})


def network_name(config: ModelConfig) -> str:
    """Return the name of a network as in `model.nets.networks`, after `action-` where it reads exogenous fields."""
    net = config.net
    if isinstance(net, SimVPConfig):
        return net.translator if net.translator == "tau" else f"simvp-{net.translator}"
    name = "motionrnn" if net.motion else CELL_NAMES[net.cell] + ("-v2" if net.decoupled else "")
    return f"{'action-' if config.fields else ''}{'ms-' if max(net.scales) > 1 else ''}{name}"
