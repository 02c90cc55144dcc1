"""Build a model package from a training run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import TypeAdapter

from model.core.errors import InputError, first_line
from model.core.manifest import DataKind, Score, TimeStepRange, Training, TrainingArchive
from model.data.leakage import initial_provenance
from model.data.windows import WindowConfig
from model.export.package import ANY_TIME_STEP, network_name, weights_of, write_package
from model.nets.forecast_model import RecurrentFreeModel, RecurrentModel, build_model
from model.train.checkpoint import READ_ERRORS
from model.train.recipe_json import read_recipe_json, recipe_from_json
from model.train.run_folder import BEST, LOG, PROVENANCE, SHARP_CUTS
from model.verify.json_output import SCHEMA, common_protocol, is_probabilistic


def build_package(
    run: Path,
    out: Path,
    *,
    name: str,
    version: str,
    scores: Sequence[Mapping[str, Any]] = (),
    field_files: Sequence[Path] = (),
    licence: str = "unknown",
) -> Path:
    """Write a package with the best weights of a run to `out/name/version`, and return that folder.

    `scores`: output of `echocast verify --json`, for the card and the manifest; `field_files`: see `write_package`.

    Raises
    ------
    InputError
        The run has no best weights or is damaged, the version exists (versions never change), or the scores are of
        other weights or of two protocols.
    BadPackage
        The graph forecasts differently from PyTorch.
    """
    trained = load_run(run)
    digest = hashlib.sha256(weights_of(trained.net)).hexdigest()
    for same_kind in ([output for output in scores if is_probabilistic(output) == kind] for kind in (False, True)):
        if same_kind:
            common_protocol(same_kind)
    outputs = [_of_these_weights(output, f"{name}@{version}", digest) for output in scores]
    described = {
        **_manifest_fields(trained),
        "name": name,
        "version": version,
        "licence": licence,
        "training": _training(run, trained),
        "scores": tuple(_scores_of(outputs, f"{name}@{version}")),
    }
    return write_package(trained.net, described, out, scores=outputs, field_files=field_files)


class TrainedRun(NamedTuple):
    """The best network of a run, its iteration and scores.

    `recipe`: the recipe of the run, with its `name`, `windows` and names of exogenous `fields`. `kind`: kind of the
    frames. `step_minutes`: time steps of the training windows. `sharp_cuts`: of a network with a distribution.
    """

    net: RecurrentModel | RecurrentFreeModel
    iteration: int
    held_out: dict[str, float]
    kind: DataKind
    recipe: dict[str, Any]
    name: str
    windows: WindowConfig
    fields: tuple[str, ...]
    step_minutes: tuple[float, ...]
    sharp_cuts: list[dict[str, Any]] | None

    @property
    def lagrangian(self) -> bool:
        """Return whether the training warped frames along their motion to the newest."""
        return self.kind == "rain" and self.windows.lagrangian


def load_run(run: Path) -> TrainedRun:
    """Read a training run.

    Raises
    ------
    InputError
        The folder is not a run, or a file is damaged or from another version.
    """
    try:
        return _read_run(run)
    except FileNotFoundError as error:
        raise InputError(
            f"no {Path(error.filename).name}", where=str(run), hint="Give the folder of a finished `echocast train`"
        ) from None
    except READ_ERRORS as error:
        reason = first_line(error)
        raise InputError(
            f"the run cannot be read ({reason})", where=str(run), hint="Train it again, with this version"
        ) from None


def _read_run(run: Path) -> TrainedRun:
    recipe = read_recipe_json(run)
    checkpoint = torch.load(run / BEST, map_location="cpu", weights_only=True)
    log = [json.loads(line) for line in (run / LOG).read_text(encoding="utf-8").splitlines()]
    if "model" not in recipe:
        raise InputError(
            "the run is from an older version: its recipe has no `model`", where=str(run), hint="Train it again"
        )
    parsed = recipe_from_json(recipe)
    net = build_model(parsed.model)
    net.load_state_dict(checkpoint["ema"])
    iteration = int(checkpoint["iteration"])
    scores: dict[str, float] = next((line for line in reversed(log) if line["iteration"] == iteration), {})
    held_out = {
        key: round(value, 4)
        for key, value in scores.items()
        if key not in ("iteration", "loss", "seconds") and isinstance(value, int | float)
    }
    return TrainedRun(
        net=net.eval(),
        iteration=iteration,
        held_out=held_out,
        kind=_provenance(run)["kind"],
        recipe=recipe,
        name=parsed.name,
        windows=parsed.windows,
        fields=parsed.fields,
        step_minutes=tuple(checkpoint.get("steps", ())),
        sharp_cuts=json.loads((run / SHARP_CUTS).read_text(encoding="utf-8")) if parsed.model.thresholds_mm_h else None,
    )


def _provenance(run: Path) -> dict[str, Any]:
    """Return the record of the training data."""
    return dict(json.loads((run / PROVENANCE).read_text(encoding="utf-8")))


def _manifest_fields(trained: TrainedRun) -> dict[str, Any]:
    """Return the fields of the manifest that follow from a run."""
    rain = trained.kind == "rain"
    architecture = network_name(trained.net.config)
    what = "growth and decay of rain along its motion" if trained.lagrangian else "the frames that follow"
    if rain and not trained.lagrangian:
        what = "the rain that follows"
    return {
        "summary": f"{architecture}, recipe {trained.name}: {what}.",
        "architecture": architecture,
        "kind": trained.kind,
        "input_frames": trained.windows.context,
        "time_step": _time_step(trained) if rain else ANY_TIME_STEP,
        "frame_of_reference": "lagrangian" if trained.lagrangian else "eulerian",
        "fields": trained.fields,
        "distribution": None
        if trained.sharp_cuts is None
        else {"thresholds_mm_h": trained.net.config.thresholds_mm_h, "sharp_cuts": trained.sharp_cuts},
    }


def _time_step(trained: TrainedRun) -> TimeStepRange:
    """Return the range of time steps in the training data, which may lack some of the recipe.

    Raises
    ------
    InputError
        The run has no record of them.
    """
    steps = trained.step_minutes
    if not steps:
        what = "the run is from an older version, which did not record the time steps of its training windows"
        raise InputError(what, where="best.pt", hint="Resume it with more --iterations, or train it again")
    return TimeStepRange(min_minutes=min(steps), max_minutes=max(steps))


def _training(run: Path, trained: TrainedRun) -> Training:
    """Return the origin of the weights."""
    provenance = _provenance(run)
    initial = initial_provenance(trained.recipe)
    archives = [*provenance.get("archives", ()), *initial["archives"]]
    return Training(
        data_digest=provenance["digest"],
        days=tuple(provenance["days"]),
        held_out_days=tuple(provenance["held_out_days"]),
        sources=tuple(provenance["sources"]),
        archives=TypeAdapter(tuple[TrainingArchive, ...]).validate_python(archives),
        step_minutes=trained.step_minutes,
        provenance_gaps=initial["provenance_gaps"],
        iterations=trained.iteration,
        recipe=trained.recipe,
        software=f"echocast {distribution_version('echocast')}, torch {torch.__version__}",
        held_out=trained.held_out,
    )


def _of_these_weights(output: Mapping[str, Any], reference: str, weights_sha256: str) -> Mapping[str, Any]:
    """Return the scores with the model of these weights renamed to `reference`.

    Raises
    ------
    InputError
        No model has these weights, or the scores are from an older version.
    """
    if output.get("schema") != SCHEMA:
        what = "these scores are from another version of Echocast"
        raise InputError(what, where=f"scores of {output.get('archive')}", hint="Verify again with this version")
    models = {
        reference if metrics.get("weights_sha256") == weights_sha256 else model: metrics
        for model, metrics in output["models"].items()
    }
    if reference not in models or models[reference].get("weights_sha256") != weights_sha256:
        raise InputError(
            "these scores are of other weights than the best of the run",
            where=f"scores of {output['archive']}",
            hint="Export without scores, verify that package, and export again with the output",
        )
    return {**output, "models": models}


def _scores_of(outputs: Sequence[Mapping[str, Any]], reference: str) -> list[Score]:
    """Return the CSI of each model, mean over leads, by threshold; `data` marks archives with training days.

    Of a protocol of probabilities the Brier score, and the CRPS.
    """
    scores = []
    for output in outputs:
        seen = "(with training days)" if output["models"][reference].get("trained_on_days") else ""
        data = " ".join(filter(None, (output["archive"], output["split"], seen)))
        described = partial(Score, protocol=output["protocol"], data=data)
        if is_probabilistic(output):
            for model, metrics in output["models"].items():
                found = metrics[metrics["compared_by"]]
                for threshold, value in zip(output["thresholds_mm_h"], found["brier_mean"]["value"], strict=True):
                    if value is not None:
                        metric = f"Brier score of {model}, mean over leads"
                        scores.append(described(metric=metric, threshold_mm_h=threshold, value=value))
                if (value := found["crps_mm_h_mean"]["value"]) is not None:
                    scores.append(described(metric=f"CRPS (mm/h) of {model}, mean over leads", value=value))
            continue
        for model, metrics in output["models"].items():
            for threshold, row in zip(output["thresholds_mm_h"], metrics["csi"], strict=True):
                numbers = [value for value in row if value is not None]
                if numbers:
                    metric = f"csi of {model}, mean over leads"
                    mean = {"threshold_mm_h": threshold, "value": round(sum(numbers) / len(numbers), 4)}
                    scores.append(described(metric=metric, **mean))
    return scores
