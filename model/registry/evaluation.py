"""Evaluate the gates of a promotion: scores beside the champion and extrapolation, parity, latency."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.core.aliases import Gate
from model.core.catalog import AUTO, Catalog
from model.core.errors import BadPackage, InputError, MissingDependency
from model.core.extras import optional_imports
from model.core.model_info import EXTRAPOLATION, ModelInfo
from model.core.package_digest import verify_package
from model.core.promotion import Evaluation, check_promotable
from model.core.sequence import FrameSequence
from model.core.units import DRY_RAIN_RATE_MM_H
from model.data.archive import Archive, DamagedFrame
from model.data.leakage import leakage_of
from model.registry.gates import (
    STEP_SHARE,
    csi_gate,
    discount_seen_days,
    extrapolation_gates,
    insufficient_rain,
    latency_gate,
    probability_gates,
)
from model.runtime.frame_selection import select_context
from model.runtime.load import load_predictor
from model.runtime.nowcast import nowcast
from model.runtime.predictor import Predictor
from model.verify.probabilistic.protocol import NOWCAST_60_PROB
from model.verify.probabilistic.run import verify_probabilities
from model.verify.protocols import Protocol
from model.verify.run import verify
from model.verify.scores import contingency_tables
from model.verify.verification import Verification

TIMED_RUNS = 3
PARITY = "ONNX graph beside PyTorch, largest difference of a pixel"

EvaluationProgress = Callable[[str, int, int], None]
"""Called with the current activity, the number of finished steps, and the total."""


def load_candidate(info: ModelInfo, fields: Path | None) -> Predictor:
    """Return the predictor of a model that may become champion.

    Raises
    ------
    InputError
        The model is a baseline, or not a model of rain.
    BadPackage
        The package cannot be loaded, which `--force` does not change.
    """
    check_promotable(info)
    return load_predictor(info, fields)


def load_champion(catalog: Catalog, fields: Path | None) -> tuple[Predictor, str]:
    """Return the predictor that `auto` runs now, and why it is not the champion (empty: it is)."""
    while True:
        models, note = catalog.resolve(AUTO)
        try:
            return load_predictor(models[0], fields), note
        except BadPackage as error:
            catalog = catalog.excluding(models[0], error.what)


def evaluate(
    candidate: Predictor,
    champion: Predictor,
    archives: Sequence[Archive],
    protocol: Protocol,
    *,
    max_seconds: float | None,
    report: EvaluationProgress = lambda what, done, total: None,
) -> Evaluation:
    """Evaluate every gate.

    Parameters
    ----------
    candidate, champion
        The predictors to compare.
    archives, protocol
        Data and protocol of the verification.
    max_seconds
        Limit for the duration of a nowcast; None for a share of each archive's time step.
    report
        Called as the evaluation proceeds.

    Raises
    ------
    InputError
        The candidate does not fit an archive, or an archive does not fit the protocol.
    """
    report("parity", 0, 1)
    gates = [parity_gate(candidate.info)]
    damaged: list[str] = []
    digests: dict[str, str] = {}
    seen: dict[str, str] = {}
    for archive in archives:
        name = _name(archive)
        digests[name] = archive.digest()
        gates.append(_latency(candidate, archive, protocol, max_seconds, name))
        incompatibility = _incompatibility(archive, protocol, champion.info)
        others = [] if incompatibility else [champion]
        compared = {each.info.reference: each for each in (candidate, *others)}  # the candidate may be the champion
        scored = verify(archive, list(compared.values()), protocol, progress=partial(report, f"verifying on {name}"))
        damaged += scored.damaged.values()
        found = _scored_gates(scored, candidate.info.reference, champion.info.reference, incompatibility, name)
        if candidate.info.distribution or champion.info.distribution:
            found += _probability_gates(scored, archive, candidate, champion, incompatibility, report)
        leakage = leakage_of(candidate.info, archive)
        champion_leakage = leakage_of(champion.info, archive).describe("the champion")
        found = discount_seen_days(found, leakage.describe(), champion_leakage)
        for gate in found:
            note = "; ".join(filter(None, (gate.note, leakage.provenance_gaps)))
            gates.append(gate.model_copy(update={"note": note}))
        seen |= {name: leakage.describe()} if leakage.found else {}
    return Evaluation(
        gates=tuple(gates),
        champion=champion.info.reference,
        protocol=protocol.name,
        archives=digests,
        damaged=tuple(damaged),
        seen=seen,
    )


def check_parity_tools() -> None:
    """Check that the packages for the parity gate are installed.

    Raises
    ------
    MissingDependency
        PyTorch, or a package for the export, is missing.
    """
    with optional_imports("models promote", "parity cannot be checked"):
        import_module("model.export.package")


def parity_gate(info: ModelInfo) -> Gate:
    """Compare the graph of a package with its weights in PyTorch; inconclusive without PyTorch.

    Raises
    ------
    BadPackage
        The package is damaged.
    """
    try:
        check_parity_tools()
    except MissingDependency as error:
        return Gate(gate="parity", what=PARITY, passed=None, note=f"{error.what}. {error.hint}")
    from model.export.package import PARITY_LIMIT, package_parity
    from model.nets.forecast_model import load_model

    if info.folder is None:
        raise ValueError("a baseline has no graph")
    manifest = verify_package(info.folder)
    net = load_model(info.folder)
    found = package_parity(net, manifest, info.folder / manifest.variants["fp32"])
    worst = max(found, key=lambda each: each.difference)
    within = all(each.within for each in found)
    note = f"float32 rounding alone causes {worst.rounding:.1e}" if worst.rounding is not None else ""
    return Gate(gate="parity", what=PARITY, passed=within, value=worst.difference, limit=PARITY_LIMIT, note=note)


def _scored_gates(scored: Verification, model: str, champion: str, incompatibility: str, archive: str) -> list[Gate]:
    thresholds = scored.protocol.thresholds_mm_h
    events = observed_events(scored, model)
    inconclusive = {threshold: insufficient_rain(events[:, row]) for row, threshold in enumerate(thresholds)}
    gates = [
        csi_gate(
            scored,
            model,
            champion,
            threshold,
            f"{champion} does not fit this archive: {incompatibility}" if incompatibility else inconclusive[threshold],
            archive,
        )
        for threshold in thresholds
    ]
    return gates + extrapolation_gates(scored, model, EXTRAPOLATION.reference, inconclusive, archive)


def _probability_gates(
    scored: Verification,
    archive: Archive,
    candidate: Predictor,
    champion: Predictor,
    incompatibility: str,
    report: EvaluationProgress,
) -> list[Gate]:
    """Compare the probabilities of two models, of which one has a distribution, at the thresholds of `scored`."""
    model, other, name = candidate.info.reference, champion.info.reference, _name(archive)
    events = observed_events(scored, model)
    protocol = replace(NOWCAST_60_PROB, thresholds_mm_h=scored.protocol.thresholds_mm_h, members=0)
    if incompatibility:
        why = f"{other} does not fit this archive: {incompatibility}"
        inconclusive = dict.fromkeys(protocol.thresholds_mm_h, why)
    else:
        inconclusive = {
            threshold: insufficient_rain(events[:, row]) for row, threshold in enumerate(protocol.thresholds_mm_h)
        }
    compared = {each.info.reference: each for each in ((candidate,) if incompatibility else (candidate, champion))}
    found = verify_probabilities(
        archive, list(compared.values()), protocol, partial(report, f"probabilities on {name}")
    )
    return probability_gates(found, model, other, inconclusive, name)


def _name(archive: Archive) -> str:
    return f"{archive.root} ({archive.split})" if archive.split else str(archive.root)


def observed_events(scored: Verification, model: str) -> NDArray[np.float64]:
    """Return the number of observed pixels at or above each threshold, over all leads [block, threshold]."""
    tables = contingency_tables(scored.sums[model]["joint_histogram"], scored.accumulators.threshold_indices)
    return np.asarray((tables["tp_count"] + tables["fn_count"]).sum(axis=-1), np.float64)


def _latency(candidate: Predictor, archive: Archive, protocol: Protocol, max_seconds: float | None, name: str) -> Gate:
    limit = max_seconds if max_seconds is not None else STEP_SHARE * archive.step_minutes * 60
    count = candidate.info.input_frames
    _, leads = protocol.case_size(archive, count)
    seconds: list[float] = []
    for sequence in _sequences(archive, protocol, count):
        if np.nan_to_num(sequence.last(count).rain_rate).max(initial=0) < DRY_RAIN_RATE_MM_H:
            continue  # a model of rain returns at once for dry frames
        if not seconds:
            nowcast(sequence, candidate, leads)  # warm-up: the first run also allocates
        started = time.perf_counter()
        nowcast(sequence, candidate, leads)
        seconds.append(time.perf_counter() - started)
        if len(seconds) == TIMED_RUNS:
            break
    rows, columns = archive.grid.shape
    about = f"{leads} leads of {rows} x {columns} pixels, {candidate.variant}"
    return latency_gate(seconds, limit, name, about)


def _sequences(archive: Archive, protocol: Protocol, count: int) -> Iterator[FrameSequence]:
    """Yield the input frames of each start time; skip damaged ones, which the verification reports."""
    context, _ = protocol.case_size(archive, count)
    for case in protocol.selection.cases(archive.times, archive.step_minutes, context):
        try:
            yield protocol.masking.read_context(archive, case.context_times)
        except DamagedFrame:
            continue


def _incompatibility(archive: Archive, protocol: Protocol, info: ModelInfo) -> str:
    """Return why a model cannot be verified on an archive; empty where it can."""
    try:
        first = next(_sequences(archive, protocol, info.input_frames), None)
        if first is None:
            return f"it needs {info.input_frames} consecutive frames"
        select_context(first, info)
    except InputError as error:
        return error.what
    return ""
