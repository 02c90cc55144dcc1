"""Builds a model package from a training run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from model.core.errors import InputError, first_line
from model.core.manifest import DataKind, Score, TimeStepRange, Training, TrainingArchive
from model.data.leakage import initial_provenance
from model.data.windows import WindowConfig
from model.export.package import ANY_TIME_STEP, network_name, weights_of, write_package
from model.nets.forecast_model import RecurrentFreeModel, RecurrentModel, build_model, config_from_dict, lists_to_tuples
from model.train.checkpoint import READ_ERRORS
from model.train.recipe_json import read_recipe_json
from model.train.run_folder import BEST, LOG, PROVENANCE
from model.verify.json_output import SCHEMA, common_protocol


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
    """Write the package of a run's best weights to `out/name/version` and return that folder.

    `scores` are answers of `echocast verify --json`; the card shows them and the manifest keeps them. `field_files`:
    see `write_package`.

    Raises
    ------
    InputError
        The run has no best weights or is damaged, the version exists (versions never change), or scores
        are of other weights or of two protocols.
    BadPackage
        The graph does not answer like torch.
    """
    trained = load_run(run)
    digest = hashlib.sha256(weights_of(trained.net)).hexdigest()
    if scores:
        common_protocol(scores)
    answers = [_of_these_weights(answer, f"{name}@{version}", digest) for answer in scores]
    described = {
        **_described(trained),
        "name": name,
        "version": version,
        "licence": licence,
        "training": _training(run, trained),
        "scores": tuple(_scores_of(answers, f"{name}@{version}")),
    }
    return write_package(trained.net, described, out, scores=answers, field_files=field_files)


class TrainedRun(NamedTuple):
    """The best network of a run, after how many iterations it was best, and its scores then.

    `recipe`: as kept beside it, and of it `name`, `windows` and the names of exogenous `fields`. `kind`: what its
    frames are. `step_minutes`: time steps of the windows that it was trained on.
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

    @property
    def lagrangian(self) -> bool:
        """Whether it saw frames warped along their motion to the newest."""
        return self.kind == "rain" and self.windows.lagrangian


def load_run(run: Path) -> TrainedRun:
    """What a training run found.

    Raises
    ------
    InputError
        The folder is not a run, or a file in it is damaged or of another version.
    """
    try:
        return _read_run(run)
    except FileNotFoundError as error:
        raise InputError(
            f"no {Path(error.filename).name}",
            where=str(run),
            hint="Name the folder of a finished `echocast train`",
        ) from None
    except READ_ERRORS as error:
        reason = first_line(error)
        raise InputError(
            f"the run cannot be read ({reason})", where=str(run), hint="Train it again, with this version"
        ) from None


def _read_run(run: Path) -> TrainedRun:
    recipe = read_recipe_json(run)
    kept = torch.load(run / BEST, map_location="cpu", weights_only=True)
    log = [json.loads(line) for line in (run / LOG).read_text(encoding="utf-8").splitlines()]
    if "model" not in recipe:
        raise InputError(
            "the run is of an older version, its recipe has no `model`", where=str(run), hint="Train it again"
        )
    net = build_model(config_from_dict(recipe["model"]))
    net.load_state_dict(kept["ema"])
    iteration = int(kept["iteration"])
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
        name=recipe["name"],
        windows=WindowConfig(**lists_to_tuples(recipe["windows"])),
        fields=tuple(recipe.get("fields", ())),
        step_minutes=tuple(kept.get("steps", ())),
    )


def _provenance(run: Path) -> dict[str, Any]:
    """What the run kept of its data."""
    return dict(json.loads((run / PROVENANCE).read_text(encoding="utf-8")))


def _described(trained: TrainedRun) -> dict[str, Any]:
    """What a run tells of the manifest."""
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
    }


def _time_step(trained: TrainedRun) -> TimeStepRange:
    """From the shortest to the longest time step that the weights have seen: a recipe may name more than archives hold.

    Raises
    ------
    InputError
        The run does not tell.
    """
    steps = trained.step_minutes
    if not steps:
        raise InputError(
            "the run is of an older version, which kept no time steps of the windows that it was trained on",
            where="best.pt",
            hint="Resume it with more --iterations, or train it again",
        )
    return TimeStepRange(min_minutes=min(steps), max_minutes=max(steps))


def _training(run: Path, trained: TrainedRun) -> Training:
    """What the weights come from, as the run kept it."""
    kept = _provenance(run)
    before = initial_provenance(trained.recipe)
    archives = [*kept.get("archives", ()), *before["archives"]]
    return Training(
        data_digest=kept["digest"],
        days=tuple(kept["days"]),
        held_out_days=tuple(kept["held_out_days"]),
        sources=tuple(kept["sources"]),
        archives=tuple(TrainingArchive(**lists_to_tuples(each)) for each in archives),
        step_minutes=trained.step_minutes,
        provenance_gaps=before["untold"],
        iterations=trained.iteration,
        recipe=trained.recipe,
        software=f"echocast {distribution_version('echocast')}, torch {torch.__version__}",
        held_out=trained.held_out,
    )


def _of_these_weights(answer: Mapping[str, Any], reference: str, weights_sha256: str) -> Mapping[str, Any]:
    """The answer with the model that has these weights under `reference`, whatever it was called when it was scored.

    Raises
    ------
    InputError
        No model of the answer has these weights, or it was made by an older version.
    """
    if answer.get("schema") != SCHEMA:
        raise InputError(
            "these scores are of another version of Echocast",
            where=f"scores of {answer.get('archive')}",
            hint="Verify again with this version",
        )
    models = {
        reference if metrics.get("weights_sha256") == weights_sha256 else model: metrics
        for model, metrics in answer["models"].items()
    }
    if reference not in models or models[reference].get("weights_sha256") != weights_sha256:
        raise InputError(
            "these scores are of other weights than the run's best",
            where=f"scores of {answer['archive']}",
            hint="Export without scores, verify that package, and export again with what it answered",
        )
    return {**answer, "models": models}


def _scores_of(answers: Sequence[Mapping[str, Any]], reference: str) -> list[Score]:
    """Mean over leads of the CSI of each model compared, by threshold; their data say where the package has seen it."""
    kept = []
    for answer in answers:
        seen = "(days of it were trained on)" if answer["models"][reference].get("trained_on_days") else ""
        for model, metrics in answer["models"].items():
            for threshold, row in zip(answer["thresholds_mm_h"], metrics["csi"], strict=True):
                known = [value for value in row if value is not None]
                if known:
                    kept.append(
                        Score(
                            protocol=answer["protocol"],
                            data=" ".join(filter(None, (answer["archive"], answer["split"], seen))),
                            metric=f"csi of {model}, mean over leads",
                            threshold_mm_h=threshold,
                            value=round(sum(known) / len(known), 4),
                        )
                    )
    return kept
