"""Builds a model package from a training run: weights, graph, manifest and card, with parity proven on the way."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file

from model.core.errors import BadPackage, InputError
from model.core.manifest import WEIGHTS, Manifest, Score, TimeStepRange, Training, sha256_of, write_manifest
from model.data.archive import Archive
from model.data.windows import WindowConfig
from model.export.card import write_card
from model.export.onnx import export_step, largest_difference
from model.nets.rain_nowcaster import RainNowcaster
from model.nets.stack import StackConfig
from model.train.loop import BEST, LOG

PARITY_LIMIT: Final = 1e-4
PARITY_STEPS: Final = 12
GRAPH: Final = "model.fp32.onnx"
CARD: Final = "card.md"
TRAINED_FOR = TimeStepRange(min_minutes=2, max_minutes=15)


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
    folder = out / name / version
    if folder.exists():
        raise InputError(
            "this version exists, and versions never change", where=str(folder), mend="Give a new --version"
        )
    net, recipe, iterations, held_out = load_run(run)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as part:
        draft = Path(part) / version
        draft.mkdir()
        save_file({key: value.contiguous() for key, value in net.state_dict().items()}, draft / WEIGHTS)
        export_step(net, draft / GRAPH)
        side = 4 * net.stack.config.stride
        difference = max(
            largest_difference(net, draft / GRAPH, steps=PARITY_STEPS, shape=shape, frames=recipe["windows"]["context"])
            for shape in ((side, side), (side, 2 * side))
        )
        if difference > PARITY_LIMIT:
            raise BadPackage(
                f"torch and ONNX differ by {difference:.1e}, the limit is {PARITY_LIMIT:.0e}",
                where=str(run),
                mend="Report this run",
            )
        answers = [_of_these_weights(answer, f"{name}@{version}", sha256_of(draft / WEIGHTS)) for answer in scores]
        training = _training(recipe, iterations, held_out, archives)
        manifest = _manifest(net, recipe, training, name, version, answers)
        write_card(draft / CARD, manifest, answers, difference)
        files = {path.name: sha256_of(path) for path in sorted(draft.iterdir())}
        write_manifest(manifest.model_copy(update={"files": files}), draft)
        for path in draft.iterdir():
            path.chmod(0o644)  # safetensors writes for its owner only; a package is for every worker
        shutil.move(draft, folder)
    return folder


def load_run(run: Path) -> tuple[RainNowcaster, dict[str, Any], int, dict[str, float]]:
    """The best network of a run, its recipe as kept beside it, after how many iterations it was best, and its scores.

    Raises:
        InputError: the folder is not a run.
    """
    try:
        recipe: dict[str, Any] = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
        kept = torch.load(run / BEST, weights_only=True)
        log = [json.loads(line) for line in (run / LOG).read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError as error:
        raise InputError(
            f"no {Path(error.filename).name}",
            where=str(run),
            mend="Name the folder of a finished `echocast train`",
        ) from None
    net = RainNowcaster(StackConfig(**{**recipe["net"], "scales": tuple(recipe["net"]["scales"])}))
    net.load_state_dict(kept["ema"])
    iteration = int(kept["iteration"])
    scores: dict[str, float] = next((line for line in reversed(log) if line["iteration"] == iteration), {})
    held_out = {key: round(value, 4) for key, value in scores.items() if key.startswith(("csi_", "ratio_", "bias_"))}
    return net.eval(), recipe, iteration, held_out


def _manifest(
    net: RainNowcaster,
    recipe: dict[str, Any],
    training: Training,
    name: str,
    version: str,
    scores: Sequence[Mapping[str, Any]],
) -> Manifest:
    config = net.stack.config
    windows = WindowConfig(**{**recipe["windows"], "step_minutes": tuple(recipe["windows"]["step_minutes"])})
    return Manifest(
        name=name,
        version=version,
        summary="MS-PredRNN: growth and decay of rain along its motion, up to an hour and more ahead.",
        architecture="ms-predrnn" if max(config.scales) > 1 else "predrnn",
        config=asdict(config),
        input_frames=windows.context,
        time_step=TRAINED_FOR,
        frame_of_reference="lagrangian",
        stride=config.stride,
        training=training,
        scores=tuple(_scores_of(scores)),
        licence="Apache-2.0",
        variants={"fp32": GRAPH},
    )


def _training(
    recipe: dict[str, Any], iterations: int, held_out: dict[str, float], archives: Sequence[Archive]
) -> Training:
    days = sorted({f"{archive.root.name} {str(time)[:10]}" for archive in archives for time in archive.times})
    return Training(
        data_digest="+".join(archive.digest() for archive in archives),
        days=tuple(days),
        sources=tuple(_source_of(archive) for archive in archives),
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
