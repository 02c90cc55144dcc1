"""Builds a model package from a training run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any, Final

import torch

from model.core.errors import InputError
from model.core.manifest import Score, TimeStepRange, Training
from model.data.archive import Archive
from model.data.windows import Provenance
from model.export.package import network_name, weights_of, write_package
from model.nets.forecaster import RecurrentForecaster, WholeForecaster, config_from, forecaster
from model.train.loop import BEST, LOG, PROVENANCE, RECIPE

ANY_TIME_STEP: Final = TimeStepRange(min_minutes=1, max_minutes=60)
"""Of a network that was not trained on radar: its frames know no minutes."""


def build_package(
    run: Path,
    out: Path,
    *,
    name: str,
    version: str,
    archives: Sequence[Archive],
    scores: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write the package of a run's best weights to `out/name/version` and return that folder.

    `scores` are answers of `echocast verify --json`; the card shows them and the manifest keeps them.

    Raises:
        InputError: the run has no best weights, the version exists (versions never change), or scores are of other
            weights.
        BadPackage: the graph does not answer like torch.
    """
    net, recipe, iterations, held_out = load_run(run)
    digest = hashlib.sha256(weights_of(net)).hexdigest()
    answers = [_of_these_weights(answer, f"{name}@{version}", digest) for answer in scores]
    described = {
        **_described(net, recipe, held_out),
        "name": name,
        "version": version,
        "training": _training(run, recipe, iterations, held_out, archives),
        "scores": tuple(_scores_of(answers)),
    }
    return write_package(net, described, out, scores=answers)


def load_run(
    run: Path,
) -> tuple[RecurrentForecaster | WholeForecaster, dict[str, Any], int, dict[str, float]]:
    """The best network of a run, its recipe as kept beside it, after how many iterations it was best, and its scores.

    Raises:
        InputError: the folder is not a run.
    """
    try:
        recipe: dict[str, Any] = json.loads((run / RECIPE).read_text(encoding="utf-8"))
        kept = torch.load(run / BEST, weights_only=True)
        log = [json.loads(line) for line in (run / LOG).read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError as error:
        raise InputError(
            f"no {Path(error.filename).name}",
            where=str(run),
            mend="Name the folder of a finished `echocast train`",
        ) from None
    if "forecaster" not in recipe:
        raise InputError(
            "the run is of an older version, its recipe has no `forecaster`", where=str(run), mend="Train it again"
        )
    net = forecaster(config_from(recipe["forecaster"]))
    net.load_state_dict(kept["ema"])
    iteration = int(kept["iteration"])
    scores: dict[str, float] = next((line for line in reversed(log) if line["iteration"] == iteration), {})
    held_out = {
        key: round(value, 4)
        for key, value in scores.items()
        if key not in ("iteration", "loss", "seconds") and isinstance(value, int | float)
    }
    return net.eval(), recipe, iteration, held_out


def _described(
    net: RecurrentForecaster | WholeForecaster, recipe: Mapping[str, Any], held_out: Mapping[str, float]
) -> dict[str, Any]:
    """What a run's recipe tells of the manifest; rain is what was scored by CSI."""
    windows = recipe["windows"]
    rain = any(name.startswith("csi_") for name in held_out)
    steps = windows["step_minutes"]
    lagrangian = rain and windows["lagrangian"]
    architecture = network_name(net.config)
    what = "growth and decay of rain along its motion" if lagrangian else "the frames that follow"
    return {
        "summary": f"{architecture}, recipe {recipe['name']}: {what}.",
        "architecture": architecture,
        "input_frames": windows["context"],
        "time_step": TimeStepRange(min_minutes=min(steps), max_minutes=max(steps)) if rain else ANY_TIME_STEP,
        "frame_of_reference": "lagrangian" if lagrangian else "eulerian",
        "fields": tuple(recipe.get("fields", ())),
        "licence": "Apache-2.0",
    }


def _training(
    run: Path, recipe: dict[str, Any], iterations: int, held_out: dict[str, float], archives: Sequence[Archive]
) -> Training:
    """What the weights come from: as the run kept it, unless the archives are given again."""
    kept = run / PROVENANCE
    if archives or not kept.exists():
        days = tuple(
            sorted({f"{archive.root.name} {str(time)[:10]}" for archive in archives for time in archive.times})
        )
        digest = "+".join(archive.digest() for archive in archives)
        sources = tuple(_source_of(archive) for archive in archives)
    else:
        provenance = Provenance(**json.loads(kept.read_text(encoding="utf-8")))
        digest, days, sources = provenance.digest, tuple(provenance.days), tuple(provenance.sources)
    return Training(
        data_digest=digest,
        days=days,
        sources=sources,
        iterations=iterations,
        recipe=recipe,
        software=f"echocast {distribution_version('echocast')}, torch {torch.__version__}",
        held_out=held_out,
    )


def _source_of(archive: Archive) -> str:
    source = archive.attributes.get("source", archive.root.name)
    licence = archive.attributes.get("licence")
    return f"{source} ({licence})" if licence else source


def _of_these_weights(answer: Mapping[str, Any], reference: str, weights_sha256: str) -> Mapping[str, Any]:
    """The answer with the model that has these weights under `reference`, whatever it was called when it was scored.

    Raises:
        InputError: no model of the answer has these weights.
    """
    models = {
        reference if metrics.get("weights_sha256") == weights_sha256 else model: metrics
        for model, metrics in answer["models"].items()
    }
    if reference not in models or models[reference].get("weights_sha256") != weights_sha256:
        raise InputError(
            "these scores are of other weights than the run's best",
            where=f"scores of {answer['archive']}",
            mend="Export without scores, verify that package, and export again with what it answered",
        )
    return {**answer, "models": models}


def _scores_of(answers: Sequence[Mapping[str, Any]]) -> list[Score]:
    """Mean over leads of the CSI of each model compared, by threshold."""
    kept = []
    for answer in answers:
        for model, metrics in answer["models"].items():
            for threshold, row in zip(answer["thresholds_mm_h"], metrics["csi"], strict=True):
                known = [value for value in row if value is not None]
                if known:
                    kept.append(
                        Score(
                            protocol=answer["protocol"],
                            data=answer["archive"],
                            metric=f"csi of {model}, mean over leads",
                            threshold_mm_h=threshold,
                            value=round(sum(known) / len(known), 4),
                        )
                    )
    return kept
