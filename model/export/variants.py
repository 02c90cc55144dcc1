"""A new version of a package, with one more variant of its graph: int8 for CPUs, fp16 for GPUs."""

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
from model.export.package import CARD, GRAPH, drafted, new_version, write_graph
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
"""Calibration sees so many forecasts of each archive, of so many leads, around where most rain is."""

RUNS_ON: Final[Mapping[ReducedPrecision, str]] = {"int8": "CPUs that multiply 8-bit integers", "fp16": "GPUs"}
SECTION: Final = "## Variants"


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A version that is not published yet: its folder, its manifest, and how each variant was made."""

    folder: Path
    manifest: Manifest
    made: Mapping[ReducedPrecision, str]

    def record_gates(self, gates: Sequence[VariantGate]) -> None:
        """Keep what the gates found in manifest and card: the version is complete."""
        lines = (self.folder / CARD).read_text(encoding="utf-8").splitlines()
        begin = lines.index(SECTION) if SECTION in lines else len(lines)
        lines = [f"# {self.manifest.name} {self.manifest.version}", *lines[1:begin], *_section(self.made, gates)]
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
    """A new version of a package with these variants beside its float32 graph, published in `out` if the block ends.

    All its graphs are of one export: the float32 graph is written anew, and its parity with torch proven. `calibrate`:
    archives whose forecasts tell which numbers an int8 graph must hold.

    Raises
    ------
    InputError
        The version exists, the package has another variant that is not made anew, or an archive does not
        fit.
    BadPackage
        The package is damaged.
    """
    manifest = verify_package(package)
    others = set(manifest.variants) - {"fp32", *kinds}
    if manifest.kind != "rain":
        raise InputError(
            f"it was trained on {manifest.kind} that are not rain: no CSI can tell whether a variant is as good",
            where=manifest.reference,
            hint="Choose a model of rain",
        )
    if others:
        raise InputError(
            f"it has {', '.join(sorted(others))} too, and all variants of a version are of one export",
            where=manifest.reference,
            hint=f"Name all of them: {' '.join(sorted({*others, *kinds}))}",
        )
    folder = new_version(out, manifest.name, version)
    net = load_model(package)
    traced = trace(net)
    with drafted(folder) as draft:
        kept = [name for name in manifest.files if name not in manifest.variants.values()]
        for name in kept:
            shutil.copyfile(package / name, draft / name)
        variants = {"fp32": GRAPH} | {str(kind): f"model.{kind}.onnx" for kind in kinds}
        write_graph(net, traced, manifest, draft / GRAPH)
        changes: dict[str, Any] = {"version": version, "variants": variants, "variant_gates": ()}
        # Its own digests of what is there so far, that it can be loaded: those of the last state come with `judged`.
        files = {name: file_sha256(draft / name) for name in (*kept, GRAPH)}
        alone = manifest.model_copy(update={**changes, "variants": {"fp32": GRAPH}, "files": files})
        write_manifest(alone, draft)
        made = {kind: _make(kind, traced, draft / variants[kind], alone, calibrate, fields) for kind in kinds}
        files = {name: file_sha256(draft / name) for name in (*kept, *variants.values())}
        complete = manifest.model_copy(update={**changes, "files": files})
        write_manifest(complete, draft)
        yield Draft(folder=draft, manifest=complete, made=made)


def _make(
    kind: ReducedPrecision,
    traced: TracedNetwork,
    path: Path,
    manifest: Manifest,
    calibrate: Sequence[Archive],
    fields: Path | None,
) -> str:
    """Write a variant into a draft, and say how it was made."""
    if kind == "fp16":
        single = export_float16(traced, path)
        return f"float16, but for {', '.join(single) or 'nothing'}"
    predictor = OnnxPredictor(
        ModelInfo.from_manifest(manifest, path.parent), fields, EngineOptions(device="cpu", variant="fp32")
    )
    samples = [sample for archive in calibrate for sample in samples_of(predictor, archive)]
    done = export_int8(traced, path, samples)
    count = len(done.quantized) + len(done.sensitive)
    stay = f", {', '.join(done.sensitive)} in float32" if done.sensitive else ""
    archives = ", ".join(archive.name for archive in calibrate)
    return (
        f"{len(done.quantized)} of {count} convolutions in 8 bits{stay}; calibrated on {len(samples)} forecasts of "
        f"{archives}, which it changes by {done.change:.2%} (root mean square)"
    )


def samples_of(predictor: OnnxPredictor, archive: Archive) -> list[CalibrationSample]:
    """Forecasts of an archive as a package's graph reads them, evenly over its times, each around its heaviest rain.

    Raises
    ------
    InputError
        The package does not take frames of this archive, or no frames of it are whole.
    """
    info, step = predictor.info, archive.step_minutes
    if not info.time_step.contains(step):
        raise InputError(
            f"its frames are {step:g} min apart, {info.reference} takes {info.time_step.min_minutes:g} to "
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
            observed = predictor.prepare(request).inputs
            stride = predictor.manifest.stride
            samples.append(
                CalibrationSample(observed=_wettest(observed, stride, predictor.manifest.grid), leads=SAMPLE_LEADS)
            )
    if not samples:
        raise InputError(
            f"no {info.input_frames} frames in a row are whole",
            where=str(archive.root),
            hint="Calibrate on another archive",
        )
    return samples


def _wettest(observed: ForecastInput, stride: int, grid: tuple[int, int] | None) -> ForecastInput:
    """The part of a domain that holds most rain; all of it where the network is bound to its grid."""
    if grid:
        return observed
    rain = observed.data[-1].sum(axis=0)
    sides = [max(stride, min(size, SAMPLE_SIDE) // stride * stride) for size in rain.shape]
    sums = np.pad(rain.cumsum(axis=0, dtype=np.float64).cumsum(axis=1), ((1, 0), (1, 0)))
    rows, columns = (np.arange(0, size - side + 1, stride) for size, side in zip(rain.shape, sides, strict=True))
    below, right = rows + sides[0], columns + sides[1]
    held = sums[np.ix_(below, right)] - sums[np.ix_(rows, right)] - sums[np.ix_(below, columns)]
    row, column = np.unravel_index(int((held + sums[np.ix_(rows, columns)]).argmax()), held.shape)
    return observed.cut(
        *(slice(int(at), int(at) + side) for at, side in zip((rows[row], columns[column]), sides, strict=True))
    )


def _section(made: Mapping[ReducedPrecision, str], gates: Sequence[VariantGate]) -> Iterator[str]:
    """The card's lines about variants."""
    yield SECTION
    yield ""
    yield "The weights are those of the scores in this card, whichever version they name; scores are of float32."
    yield ""
    for kind, how in made.items():
        yield f"- {kind}, for {RUNS_ON[kind]}: {how}."
    yield ""
    if gates:
        yield f"CSI, mean over leads, under {gates[0].protocol}, of float32 and of the variant:"
        yield ""
        yield "| variant | archive | threshold | float32 | variant | change | limit |"
        yield "|---|---|---|---|---|---|---|"
    for gate in gates:
        figures = "- | - | -"
        if gate.csi_fp32 is not None and gate.csi is not None and gate.change is not None:
            figures = f"{gate.csi_fp32:.4f} | {gate.csi:.4f} | {gate.change:+.2%}"
        limit = f"{gate.limit:.1%}" if gate.passed is not None else "too little rain to judge"
        yield f"| {gate.variant} | {gate.archive} | {gate.threshold_mm_h:g} mm/h | {figures} | {limit} |"
