"""`echocast models variant`: add a variant to a package where it forecasts like the float32 graph."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from model.core.catalog import open_catalog
from model.core.contingency import paired_means
from model.core.errors import InputError
from model.core.extras import optional_imports
from model.core.manifest import VariantGate
from model.core.model_info import ModelInfo
from model.core.progress import ProgressBar
from model.options import evaluation_archives_option, fields_option, packages_option
from model.registry.alias_commands import RESULTS
from model.registry.gates import HEAVY_MM_H, insufficient_rain
from model.registry.show import find_model

if TYPE_CHECKING:
    from model.data.archive import Archive
    from model.export.variants import Draft, ReducedPrecision
    from model.verify.probabilistic.verification import ProbabilisticVerification
    from model.verify.schedule import ProgressCallback
    from model.verify.verification import Verification

PRECISIONS: Final = ("int8", "fp16")
CHANGE_LIMIT: Final = 0.005
HEAVY_LIMIT: Final = 0.02
"""From HEAVY_MM_H on, where events are few, CSI may change more."""
CALIBRATED: Final = "the graph was calibrated on"


class VariantRefused(InputError):
    """A gate refuses a variant, or no archive allows a conclusion."""

    code = "variant-refused"


def variant_gates(
    scored: Verification, fp32: str, variant: str, kind: str, archive: str, inconclusive: Mapping[float, str]
) -> list[VariantGate]:
    """Compare the CSI, mean over leads, of a variant with float32 at each threshold of `inconclusive`."""
    digest = scored.archive.digest()
    gate = partial(VariantGate, variant=kind, protocol=scored.protocol.name, archive=archive, archive_digest=digest)
    gates = []
    for row, (threshold, why) in enumerate(inconclusive.items()):
        limit = HEAVY_LIMIT if threshold >= HEAVY_MM_H else CHANGE_LIMIT
        csi, csi_fp32 = map(float, paired_means(scored.csi(variant)[row], scored.csi(fp32)[row]))
        result: dict[str, Any] = {"passed": None, "note": why or "no events"}
        if np.isfinite([csi, csi_fp32]).all() and csi_fp32 > 0:
            change = csi / csi_fp32 - 1
            conclusion = {} if why else {"passed": abs(change) < limit, "note": ""}
            result |= {"csi_fp32": csi_fp32, "csi": csi, "change": change} | conclusion
        gates.append(gate(threshold_mm_h=threshold, limit=limit, **result))
    return gates


def brier_gates(
    scored: ProbabilisticVerification,
    fp32: str,
    variant: str,
    kind: str,
    archive: str,
    inconclusive: Mapping[float, str],
) -> list[VariantGate]:
    """Compare the Brier score, mean over leads, of a variant with float32 at each threshold of `inconclusive`."""
    digest = scored.archive.digest()
    gate = partial(VariantGate, variant=kind, protocol=scored.protocol.name, archive=archive, archive_digest=digest)
    means = [scored.mean_brier(model, scored.main_source(model)).value for model in (variant, fp32)]
    gates = []
    for threshold, why in inconclusive.items():
        limit = HEAVY_LIMIT if threshold >= HEAVY_MM_H else CHANGE_LIMIT
        row = scored.protocol.thresholds_mm_h.index(threshold)
        brier, brier_fp32 = (float(mean[row]) for mean in means)
        result: dict[str, Any] = {"passed": None, "note": why or "no events"}
        if np.isfinite([brier, brier_fp32]).all() and brier_fp32 > 0:
            change = brier / brier_fp32 - 1
            conclusion = {} if why else {"passed": abs(change) < limit, "note": ""}
            result |= {"brier_fp32": brier_fp32, "brier": brier, "change": change} | conclusion
        gates.append(gate(threshold_mm_h=threshold, limit=limit, score="Brier score", **result))
    return gates


@dataclass(frozen=True, kw_only=True)
class VariantEvaluation:
    """Results of the gates; `seconds`: duration of a nowcast on this machine, by archive, then by variant."""

    gates: tuple[VariantGate, ...]
    seconds: Mapping[str, Mapping[str, float]]


def evaluate_variants(
    draft: Draft,
    archives: Sequence[Archive],
    fields: Path | None,
    report: ProgressCallback,
    calibrated_on: Sequence[Archive] = (),
) -> VariantEvaluation:
    """Verify each variant of a draft beside the float32 graph on every archive.

    All have the same weights, so that days of the training favour none. Frames of the calibration favour an int8
    graph, which cannot pass on an archive with such frames.

    Raises
    ------
    InputError
        The package does not fit an archive.
    """
    from model.data.leakage import shared_frames
    from model.registry.evaluation import observed_events
    from model.runtime.device import EngineOptions
    from model.runtime.onnx_predictor import OnnxPredictor
    from model.verify.probabilistic.protocol import NOWCAST_60_PROB
    from model.verify.probabilistic.run import verify_probabilities
    from model.verify.protocols import NOWCAST_60
    from model.verify.run import verify

    info = ModelInfo.from_manifest(draft.manifest, draft.folder)
    fp32 = OnnxPredictor(info, fields, EngineOptions(device="cpu", variant="fp32"))
    variants: dict[ReducedPrecision, OnnxPredictor] = {}
    for kind in draft.descriptions:
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
        probable = None
        if info.distribution is not None:
            without_members = NOWCAST_60_PROB.with_options(members=0)
            probable = verify_probabilities(archive, [fp32, *variants.values()], without_members, report)
        shared = shared_frames(archive, calibrated_on) if "int8" in variants else 0
        for kind, predictor in variants.items():
            problem = f"{CALIBRATED} {shared} of these frames" if shared and kind == "int8" else ""
            problems = dict.fromkeys(inconclusive, problem) if problem else inconclusive
            names = (info.reference, predictor.info.reference, kind, archive.name)
            gates += variant_gates(scored, *names, problems)
            gates += brier_gates(probable, *names, problems) if probable is not None else []
        timed = {"fp32": fp32} | {str(kind): predictor for kind, predictor in variants.items()}
        seconds[archive.name] = {
            name: round(scored.seconds_per_nowcast[each.info.reference], 3) for name, each in timed.items()
        }
    return VariantEvaluation(gates=tuple(gates), seconds=seconds)


def check_variant_gates(reference: str, gates: Sequence[VariantGate]) -> None:
    """Raise VariantRefused where a gate of a variant fails, or all are inconclusive at a threshold."""
    for gate in gates:
        if gate.passed is False and gate.figures is not None:
            fp32, value, change = gate.figures
            raise VariantRefused(
                f"{gate.variant} refused: on {gate.archive} {gate.score} at {gate.threshold_mm_h:g} mm/h is {fp32:.4f} "
                f"in float32 and {value:.4f} in {gate.variant}, a change of {change:+.2%}, the limit is "
                f"{gate.limit:.1%}",
                where=reference,
                hint="Calibrate it on more archives, or ship the package without it",
            )
    passed = {(gate.variant, gate.score, gate.threshold_mm_h) for gate in gates if gate.passed}
    for gate in gates:
        if (gate.variant, gate.score, gate.threshold_mm_h) not in passed:
            if CALIBRATED in gate.note:
                raise VariantRefused(
                    f"{gate.variant} refused: {gate.archive} is inconclusive, {gate.note}",
                    where=reference,
                    hint="Calibrate on one archive, and evaluate on another",
                )
            raise VariantRefused(
                f"{gate.variant} refused: no archive holds enough rain at {gate.threshold_mm_h:g} mm/h",
                where=reference,
                hint="Give archives with more and heavier rain, of several hours or days",
            )


@click.command("variant")
@click.argument("reference")
@click.argument("kinds", nargs=-1, required=True, type=click.Choice(PRECISIONS))
@evaluation_archives_option
@click.option(
    "--calibrate",
    type=click.Path(path_type=Path),
    multiple=True,
    help="An archive to calibrate an int8 graph on, preferably a training archive; may be given several times.",
)
@click.option("--version", required=True, help="Version of the new package: versions never change.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of packages, as NAME/VERSION.")
@fields_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@packages_option
def make_variant(
    reference: str,
    kinds: tuple[ReducedPrecision, ...],
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
    0.5 % at each threshold (2 % from 10 mm/h on), on each archive; so may the Brier score of a network with a
    distribution.
    """
    if "int8" in kinds and not calibrate:
        raise click.UsageError("int8 needs --calibrate: an archive for the ranges of its numbers")
    with optional_imports("models variant"):
        from model.data.archive import Archive
        from model.export.variants import with_variants
    info = find_model(reference, open_catalog(packages))
    if info.folder is None:
        raise InputError("a baseline has no graph", where=info.reference, hint="Choose a package")
    evaluated, calibrating = ([Archive(path) for path in paths] for paths in (archives, calibrate))
    ordered = tuple(dict.fromkeys(kinds))
    with (
        ProgressBar("exporting") as progress,
        with_variants(info.folder, ordered, version, out, calibrating, fields=fields) as draft,
    ):
        evaluation = evaluate_variants(
            draft, evaluated, fields, lambda done, total: progress.update(done, total, "verifying"), calibrating
        )
        _print_result(draft, evaluation, as_json=as_json)
        check_variant_gates(draft.manifest.reference, evaluation.gates)
        draft.record_gates(evaluation.gates)
    if not as_json:
        click.echo(str(out / draft.manifest.name / version))


def _print_result(draft: Draft, evaluation: VariantEvaluation, *, as_json: bool) -> None:
    """Print the variants, and the results of the gates."""
    if as_json:
        output = {
            "model": draft.manifest.reference,
            "made": dict(draft.descriptions),
            "gates": [gate.model_dump(mode="json") for gate in evaluation.gates],
            "seconds_per_nowcast": evaluation.seconds,
        }
        click.echo(json.dumps(output, indent=2))
        return
    for kind, description in draft.descriptions.items():
        click.echo(f"{kind}: {description}")
    for archive, timed in evaluation.seconds.items():
        seconds = ", ".join(f"{name} {took:.2f}" for name, took in timed.items())
        click.echo(f"seconds per nowcast on {archive}: {seconds}")
    table = Table()
    for column in ("variant", "archive", "score"):
        table.add_column(column)
    for column in ("mm/h", "fp32", "variant", "change", "limit"):
        table.add_column(column, justify="right")
    table.add_column("gate")
    for gate in evaluation.gates:
        figures = ["-"] * 3
        if gate.figures is not None:
            figures = "{:.4f} {:.4f} {:+.2%}".format(*gate.figures).split()
        threshold, limit = f"{gate.threshold_mm_h:g}", f"{gate.limit:.1%}"
        table.add_row(gate.variant, gate.archive, gate.score, threshold, *figures, limit, RESULTS[gate.passed])
    Console().print(table)
    for why in dict.fromkeys(
        f"{gate.archive} is inconclusive at {gate.threshold_mm_h:g} mm/h: {gate.note}"
        for gate in evaluation.gates
        if gate.passed is None
    ):
        click.echo(why)
