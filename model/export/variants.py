"""Make a new version of a package with variants of its graph: int8 for CPUs, fp16 for GPUs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from model.core.errors import InputError
from model.core.manifest import Manifest, VariantGate, write_manifest
from model.core.model_info import ModelInfo
from model.core.package_digest import file_sha256, verify_package
from model.data.archive import Archive, DamagedFrame
from model.export.calibrate import CalibrationSample
from model.export.onnx import export_float16, export_int8
from model.export.package import CARD, GRAPH, new_folder, new_version, write_graph
from model.export.trace import TracedNetwork, trace
from model.nets.forecast_model import load_model
from model.runtime.device import EngineOptions
from model.runtime.graph_session import ForecastInput
from model.runtime.onnx_predictor import OnnxPredictor
from model.runtime.request import ForecastRequest
from model.verify.cases import RegularStarts
from model.verify.protocols import NOWCAST_60

ReducedPrecision = Literal["int8", "fp16"]

SAMPLES_PER_ARCHIVE: Final = 6
SAMPLE_LEADS: Final = 12
SAMPLE_SIDE: Final = 256
"""Calibration runs this many forecasts of each archive, this many leads, on squares around the heaviest rain."""

RUNS_ON: Final[Mapping[ReducedPrecision, str]] = {"int8": "CPUs that multiply 8-bit integers", "fp16": "GPUs"}
SECTION: Final = "## Variants"


@dataclass(frozen=True, kw_only=True)
class Draft:
    """An unpublished version: the folder, the manifest, and a description of each variant."""

    folder: Path
    manifest: Manifest
    descriptions: Mapping[ReducedPrecision, str]

    def record_gates(self, gates: Sequence[VariantGate]) -> None:
        """Write the results of the gates into manifest and card, which completes the version."""
        lines = (self.folder / CARD).read_text(encoding="utf-8").splitlines()
        end = lines.index(SECTION) if SECTION in lines else len(lines)
        lines = [f"# {self.manifest.name} {self.manifest.version}", *lines[1:end], *_section(self.descriptions, gates)]
        (self.folder / CARD).write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
        files = {name: file_sha256(self.folder / name) for name in self.manifest.files}
        write_manifest(self.manifest.model_copy(update={"files": files, "variant_gates": tuple(gates)}), self.folder)


@contextmanager
def with_variants(
    package: Path,
    kinds: Sequence[ReducedPrecision],
    version: str,
    out: Path,
    calibrate: Sequence[Archive],
    *,
    fields: Path | None = None,
) -> Iterator[Draft]:
    """Yield a draft of a new version with variants beside the float32 graph; publish it at the end of the block.

    All graphs come from one export, the float32 graph included.

    Parameters
    ----------
    package
        Folder of the package.
    kinds
        Variants to make.
    version, out
        The new version, and the folder of packages.
    calibrate
        Archives for the calibration of an int8 graph.
    fields
        Folder of exogenous fields.

    Raises
    ------
    InputError
        The version exists, the package has a variant that is not among `kinds`, or an archive does not fit.
    BadPackage
        The package is damaged.
    """
    manifest = verify_package(package)
    others = set(manifest.variants) - {"fp32", *kinds}
    if manifest.kind != "rain":
        what = f"it was trained on {manifest.kind} that are not rain: the gates of variants compare CSI"
        raise InputError(what, where=manifest.reference, hint="Choose a model of rain")
    if others:
        raise InputError(
            f"it also has {', '.join(sorted(others))}, and all variants of a version come from one export",
            where=manifest.reference,
            hint=f"Name all of them: {' '.join(sorted({*others, *kinds}))}",
        )
    folder = new_version(out, manifest.name, version)
    net = load_model(package)
    traced = trace(net)
    with new_folder(folder) as draft:
        copied = [name for name in manifest.files if name not in manifest.variants.values()]
        for name in copied:
            shutil.copyfile(package / name, draft / name)
        variants = {"fp32": GRAPH} | {str(kind): f"model.{kind}.onnx" for kind in kinds}
        write_graph(net, traced, manifest, draft / GRAPH)
        changes: dict[str, Any] = {"version": version, "variants": variants, "variant_gates": ()}
        # Calibration loads the draft, which needs valid digests; `record_gates` writes the final ones.
        files = {name: file_sha256(draft / name) for name in (*copied, GRAPH)}
        float32_only = manifest.model_copy(update={**changes, "variants": {"fp32": GRAPH}, "files": files})
        write_manifest(float32_only, draft)
        descriptions = {
            kind: _export(kind, traced, draft / variants[kind], float32_only, calibrate, fields) for kind in kinds
        }
        files = {name: file_sha256(draft / name) for name in (*copied, *variants.values())}
        complete = manifest.model_copy(update={**changes, "files": files})
        write_manifest(complete, draft)
        yield Draft(folder=draft, manifest=complete, descriptions=descriptions)


def _export(
    kind: ReducedPrecision,
    traced: TracedNetwork,
    path: Path,
    manifest: Manifest,
    calibrate: Sequence[Archive],
    fields: Path | None,
) -> str:
    """Write a variant into a draft, and return its description."""
    if kind == "fp16":
        operators = export_float16(traced, path)
        return f"float16 except {', '.join(operators) or 'nothing'}"
    info = ModelInfo.from_manifest(manifest, path.parent)
    predictor = OnnxPredictor(info, fields, EngineOptions(device="cpu", variant="fp32"))
    samples = [sample for archive in calibrate for sample in samples_of(predictor, archive)]
    calibration = export_int8(traced, path, samples)
    quantized, sensitive = calibration.quantized, calibration.sensitive
    rest = f", {', '.join(sensitive)} in float32" if sensitive else ""
    archives = ", ".join(archive.name for archive in calibrate)
    return (
        f"{len(quantized)} of {len(quantized) + len(sensitive)} convolutions in 8 bits{rest}; calibrated on "
        f"{len(samples)} forecasts of {archives}, which change by {calibration.change:.2%} (root mean square)"
    )


def samples_of(predictor: OnnxPredictor, archive: Archive) -> list[CalibrationSample]:
    """Return inputs of forecasts at start times spread evenly over an archive, cropped around the heaviest rain.

    Raises
    ------
    InputError
        The model does not fit the archive, or the archive has no complete input.
    """
    info, step = predictor.info, archive.step_minutes
    if not info.time_step.contains(step):
        raise InputError(
            f"frames are {step:g} min apart, {info.reference} takes {info.time_step.min_minutes:g} to "
            f"{info.time_step.max_minutes:g} min",
            where=str(archive.root),
            hint="Calibrate on another archive",
        )
    selection = RegularStarts(horizon_minutes=0, stride_minutes=0)  # calibration reads input frames only
    cases = list(selection.cases(archive.times, step, info.input_frames))
    count = min(SAMPLES_PER_ARCHIVE, len(cases))
    chosen = sorted({round(at) for at in np.linspace(0, len(cases) - 1, count).tolist()})
    samples = []
    for index in chosen:
        with suppress(DamagedFrame):
            sequence = NOWCAST_60.masking.read_context(archive, cases[index].context_times)
            request = ForecastRequest(sequence=sequence, steps=SAMPLE_LEADS)
            inputs = predictor.prepare(request).inputs
            observed = _wettest(inputs, predictor.manifest.stride, predictor.manifest.grid)
            samples.append(CalibrationSample(observed=observed, leads=SAMPLE_LEADS))
    if not samples:
        what = f"no {info.input_frames} consecutive frames are complete"
        raise InputError(what, where=str(archive.root), hint="Calibrate on another archive")
    return samples


def _wettest(observed: ForecastInput, stride: int, grid: tuple[int, int] | None) -> ForecastInput:
    """Return the square with most rain; the whole domain where the network is bound to one grid."""
    if grid:
        return observed
    rain = observed.data[-1].sum(axis=0)
    # Sums over all squares at once by a summed-area table (Crow 1984, doi:10.1145/800031.808600).
    sides = [max(stride, min(size, SAMPLE_SIDE) // stride * stride) for size in rain.shape]
    sums = np.pad(rain.cumsum(axis=0, dtype=np.float64).cumsum(axis=1), ((1, 0), (1, 0)))
    rows, columns = (np.arange(0, size - side + 1, stride) for size, side in zip(rain.shape, sides, strict=True))
    ends, right = rows + sides[0], columns + sides[1]
    totals = sums[np.ix_(ends, right)] - sums[np.ix_(rows, right)] - sums[np.ix_(ends, columns)]
    row, column = np.unravel_index(int((totals + sums[np.ix_(rows, columns)]).argmax()), totals.shape)
    return observed.cut(
        *(slice(int(at), int(at) + side) for at, side in zip((rows[row], columns[column]), sides, strict=True))
    )


def _section(descriptions: Mapping[ReducedPrecision, str], gates: Sequence[VariantGate]) -> Iterator[str]:
    """Yield the lines of the card about variants."""
    yield f"{SECTION}\n"
    yield "All versions of this card have the same weights; its scores are those of the float32 graph.\n"
    for kind, description in descriptions.items():
        yield f"- {kind}, for {RUNS_ON[kind]}: {description}."
    yield ""
    if gates:
        protocols = " and ".join(dict.fromkeys(gate.protocol for gate in gates))
        yield f"CSI (or Brier score), mean over leads, under {protocols}, of the float32 graph and the variant:\n"
        yield "| variant | archive | threshold | float32 | variant | change | limit |"
        yield "|---|---|---|---|---|---|---|"
    for gate in gates:
        figures = "- | - | -"
        if gate.figures is not None:
            figures = "{:.4f} | {:.4f} | {:+.2%}".format(*gate.figures)
        limit = f"{gate.limit:.1%}" if gate.passed is not None else "inconclusive"
        score = "" if gate.score == "CSI" else f", {gate.score}"
        yield f"| {gate.variant} | {gate.archive} | {gate.threshold_mm_h:g} mm/h{score} | {figures} | {limit} |"
