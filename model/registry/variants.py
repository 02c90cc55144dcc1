"""`echocast models variant`: a variant of a package's graph comes in where it forecasts like the float32 one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from model.core.catalog import open_catalog
from model.core.errors import InputError
from model.core.extras import optional_imports
from model.core.manifest import VariantGate
from model.core.model_info import ModelInfo
from model.core.progress import ProgressBar
from model.options import fields_option, packages_option
from model.registry.alias_commands import RESULTS
from model.registry.gates import insufficient_rain
from model.registry.show import found_model
from model.verify.scores import paired_means

if TYPE_CHECKING:
    from model.data.archive import Archive
    from model.export.variants import Draft, Kind
    from model.verify.run import ProgressCallback
    from model.verify.verification import Verification

KINDS: Final = ("int8", "fp16")
CHANGE_LIMIT: Final = 0.005
HEAVY_LIMIT: Final = 0.02
CALIBRATED: Final = "its graph was calibrated on"
HEAVY_MM_H: Final = 10.0
"""From here on so little rain is counted that CSI may change by HEAVY_LIMIT."""


class VariantRefused(InputError):
    code = "variant-refused"


def variant_gates(
    scored: Verification, fp32: str, variant: str, kind: str, archive: str, inconclusive: Mapping[float, str]
) -> list[VariantGate]:
    """Compare the CSI, mean over leads, of a variant with float32 at each threshold of `inconclusive`."""
    digest = scored.archive.digest()
    gates = []
    for row, (threshold, why) in enumerate(inconclusive.items()):
        limit = HEAVY_LIMIT if threshold >= HEAVY_MM_H else CHANGE_LIMIT
        ours, its = map(float, paired_means(scored.csi(variant)[row], scored.csi(fp32)[row]))
        found: dict[str, Any] = {"passed": None, "note": why or "there is nothing to count"}
        if np.isfinite([ours, its]).all() and its > 0:
            change = ours / its - 1
            judged = {} if why else {"passed": abs(change) < limit, "note": ""}
            found |= {"csi_fp32": its, "csi": ours, "change": change} | judged
        gates.append(
            VariantGate(
                variant=kind,
                protocol=scored.protocol.name,
                archive=archive,
                archive_digest=digest,
                threshold_mm_h=threshold,
                limit=limit,
                **found,
            )
        )
    return gates


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What the gates found; `seconds`: per nowcast as it ran here, by archive, then by variant."""

    gates: tuple[VariantGate, ...]
    seconds: Mapping[str, Mapping[str, float]]


def judge(
    draft: Draft,
    archives: Sequence[Archive],
    fields: Path | None,
    report: ProgressCallback,
    calibrated_on: Sequence[Archive] = (),
) -> Judged:
    """Verify each variant of a draft beside its float32 graph, on every archive, all in one run.

    Both have the same weights, so that days which those were trained on favour neither. Frames that an int8 graph was
    calibrated on favour that graph: they cannot pass it.

    Raises
    ------
    InputError
        The package does not fit an archive.
    """
    from model.data.leakage import shared_frames
    from model.registry.evaluation import observed_events
    from model.runtime.device import EngineOptions
    from model.runtime.onnx_predictor import OnnxPredictor
    from model.verify.protocols import NOWCAST_60
    from model.verify.run import verify

    info = ModelInfo.from_manifest(draft.manifest, draft.folder)
    fp32 = OnnxPredictor(info, fields, EngineOptions(device="cpu", variant="fp32"))
    variants: dict[Kind, OnnxPredictor] = {}
    for kind in draft.made:
        variants[kind] = OnnxPredictor(info, fields, EngineOptions(device="cpu", variant=kind))
        variants[kind].info = info.model_copy(update={"name": f"{info.name}-{kind}"})  # another row of the same table
    gates: list[VariantGate] = []
    seconds = {}
    counts_alone = replace(NOWCAST_60, fss_windows=(), plotted_lead_minutes=())
    for archive in archives:
        scored = verify(archive, [fp32, *variants.values()], counts_alone, report)
        events = observed_events(scored, info.reference)
        inconclusive = {
            threshold: insufficient_rain(events[:, row]) for row, threshold in enumerate(NOWCAST_60.thresholds_mm_h)
        }
        shared = shared_frames(archive, calibrated_on) if "int8" in variants else 0
        for kind, predictor in variants.items():
            why = f"{CALIBRATED} {shared} of these frames" if shared and kind == "int8" else ""
            cannot = dict.fromkeys(inconclusive, why) if why else inconclusive
            gates += variant_gates(scored, info.reference, predictor.info.reference, kind, archive.name, cannot)
        timed = {"fp32": fp32} | {str(kind): predictor for kind, predictor in variants.items()}
        seconds[archive.name] = {
            name: round(scored.seconds_per_nowcast[each.info.reference], 3) for name, each in timed.items()
        }
    return Judged(gates=tuple(gates), seconds=seconds)


def check(reference: str, gates: Sequence[VariantGate]) -> None:
    """Raise VariantRefused where a gate is against a variant, or none can tell of a threshold."""
    for gate in gates:
        if gate.passed is False:
            raise VariantRefused(
                f"{gate.variant} refused: on {gate.archive} CSI at {gate.threshold_mm_h:g} mm/h is {gate.csi_fp32:.4f} "
                f"in float32 and {gate.csi:.4f} in {gate.variant}, a change of {gate.change:+.2%}, the limit is "
                f"{gate.limit:.1%}",
                where=reference,
                hint="Calibrate it on more archives, or ship the package without it",
            )
    judged = {(gate.variant, gate.threshold_mm_h) for gate in gates if gate.passed}
    for gate in gates:
        if (gate.variant, gate.threshold_mm_h) not in judged:
            if CALIBRATED in gate.note:
                raise VariantRefused(
                    f"{gate.variant} refused: {gate.archive} cannot judge it, {gate.note}",
                    where=reference,
                    hint="Calibrate on an archive, and judge on another",
                )
            raise VariantRefused(
                f"{gate.variant} refused: no archive holds enough rain to tell at {gate.threshold_mm_h:g} mm/h",
                where=reference,
                hint="Give archives with more and heavier rain, of several hours or days",
            )


@click.command("variant")
@click.argument("reference")
@click.argument("kinds", nargs=-1, required=True, type=click.Choice(KINDS))
@click.option(
    "--archive",
    "archives",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="An archive to judge it on, with frames that it was not trained on; may be given several times.",
)
@click.option(
    "--calibrate",
    type=click.Path(path_type=Path),
    multiple=True,
    help="An archive, best one of the training, to calibrate an int8 graph on; may be given several times.",
)
@click.option("--version", required=True, help="Of the new package: versions never change.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of packages, as NAME/VERSION.")
@fields_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@packages_option
def make_variant(
    reference: str,
    kinds: tuple[Kind, ...],
    archives: tuple[Path, ...],
    calibrate: tuple[Path, ...],
    version: str,
    out: Path,
    fields: Path | None,
    as_json: bool,
    packages: Path | None,
) -> None:
    """Add an int8 or fp16 graph to a package, as a new version, where it forecasts like the float32 one.

    REFERENCE is NAME, NAME@VERSION, an alias, or a package's folder. CSI, mean over leads, may change by less than
    0.5 % at each threshold (2 % from 10 mm/h on), on each archive.
    """
    if "int8" in kinds and not calibrate:
        raise click.UsageError("int8 wants --calibrate: an archive that tells which numbers its graph must hold")
    with optional_imports("models variant"):
        from model.data.archive import Archive
        from model.export.variants import with_variants
    info = found_model(reference, open_catalog(packages))
    if info.folder is None:
        raise InputError("a baseline has no graph", where=info.reference, hint="Name a package")
    opened, calibrating = ([Archive(path) for path in paths] for paths in (archives, calibrate))
    with ExitStack() as stack:
        progress = stack.enter_context(ProgressBar("making"))
        ordered = tuple(dict.fromkeys(kinds))
        draft = stack.enter_context(with_variants(info.folder, ordered, version, out, calibrating, fields=fields))
        judged = judge(
            draft,
            opened,
            fields,
            lambda done, total: progress.update(done, total, "judging"),
            calibrating,
        )
        _print_result(draft, judged, as_json=as_json)
        check(draft.manifest.reference, judged.gates)
        draft.judged(judged.gates)
    if not as_json:
        click.echo(str(out / draft.manifest.name / version))


def _print_result(draft: Draft, judged: Judged, *, as_json: bool) -> None:
    """What was made, and what the gates found."""
    if as_json:
        answer = {
            "model": draft.manifest.reference,
            "made": dict(draft.made),
            "gates": [gate.model_dump(mode="json") for gate in judged.gates],
            "seconds_per_nowcast": judged.seconds,
        }
        click.echo(json.dumps(answer, indent=2))
        return
    for kind, how in draft.made.items():
        click.echo(f"{kind}: {how}")
    for archive, timed in judged.seconds.items():
        seconds = ", ".join(f"{name} {took:.2f}" for name, took in timed.items())
        click.echo(f"seconds per nowcast on {archive}: {seconds}")
    table = Table()
    for column in ("variant", "archive"):
        table.add_column(column)
    for column in ("mm/h", "CSI fp32", "CSI", "change", "limit"):
        table.add_column(column, justify="right")
    table.add_column("gate")
    for gate in judged.gates:
        figures = ["-"] * 3
        if gate.csi_fp32 is not None and gate.csi is not None and gate.change is not None:
            figures = [f"{gate.csi_fp32:.4f}", f"{gate.csi:.4f}", f"{gate.change:+.2%}"]
        row = [
            gate.variant,
            gate.archive,
            f"{gate.threshold_mm_h:g}",
            *figures,
            f"{gate.limit:.1%}",
            RESULTS[gate.passed],
        ]
        table.add_row(*row)
    Console().print(table)
    for why in dict.fromkeys(
        f"{gate.archive} cannot say at {gate.threshold_mm_h:g} mm/h: {gate.note}"
        for gate in judged.gates
        if gate.passed is None
    ):
        click.echo(why)
