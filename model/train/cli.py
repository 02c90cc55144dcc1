"""`echocast train RECIPE --archive DIR`, or `--data NAME[:PATH]`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from model.data.archive import Archive
from model.data.sources import RadarWindows, WindowSource, source_from
from model.train.loop import train as run_training
from model.train.recipes import RECIPES, Recipe


@click.command()
@click.argument("recipe", type=click.Choice(list(RECIPES)))
@click.option(
    "--archive",
    "archives",
    type=click.Path(path_type=Path),
    multiple=True,
    help="An archive's folder; may be given several times.",
)
@click.option("--data", help="A data set instead: moving-mnist, moving-mnist:PATH, kth:DIR or taxibj:PATH.")
@click.option(
    "--fields",
    "fields_folder",
    type=click.Path(path_type=Path),
    help="Folder of exogenous fields, NAME.nc, for a recipe that reads them.",
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/latest"), show_default=True)
@click.option("--resume", is_flag=True, help="Go on from the run's last checkpoint.")
@click.option("--iterations", type=click.IntRange(1), help="Instead of the recipe's.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Stop after so many minutes at most.")
@click.option("--batch", type=click.IntRange(1), help="Instead of the recipe's.")
@click.option("--seed", type=int, help="Instead of the recipe's.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads of PyTorch.")
def train(
    recipe: str,
    archives: tuple[Path, ...],
    data: str | None,
    fields_folder: Path | None,
    out: Path,
    resume: bool,
    iterations: int | None,
    minutes: float | None,
    batch: int | None,
    seed: int | None,
    threads: int | None,
) -> None:
    """Train RECIPE on radar archives or a data set; then `echocast export` makes a package of the run."""
    if bool(archives) == bool(data):
        raise click.UsageError("Give either --archive (once or more), or --data: what to train on")
    chosen = RECIPES[recipe]()
    chosen = replace(
        chosen,
        iterations=iterations or chosen.iterations,
        batch=batch or chosen.batch,
        seed=chosen.seed if seed is None else seed,
    )
    if threads:
        torch.set_num_threads(threads)
    windows, cache = chosen.windows, out / "cache"
    if data:
        source: WindowSource = source_from(data, cache_folder=cache, context=windows.context, leads=windows.leads)
    else:
        source = radar(archives, chosen, cache, fields_folder)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task(chosen.name, total=1.0)

        def report(iteration: int, scores: dict[str, float]) -> None:
            if "loss" in scores:
                progress.update(
                    bar, completed=scores["progress"], description=f"{iteration}  loss {scores['loss']:.4f}"
                )
            else:
                click.echo(json.dumps({"iteration": iteration, **{k: round(v, 4) for k, v in scores.items()}}))

        best = run_training(chosen, source, out, resume=resume, minutes=minutes, report=report)
    package = f"echocast export {out} --out ./packages --name NAME --version 1"
    click.echo(f"Best weights in {best}. Make a package of them: {package}")


def radar(archives: Sequence[Path], recipe: Recipe, cache_folder: Path, fields_folder: Path | None) -> RadarWindows:
    """Windows of archives, as the recipe wants them."""
    return RadarWindows(
        [Archive(path) for path in archives],
        recipe.windows,
        recipe.holdout,
        cache_folder,
        fields=recipe.fields,
        fields_folder=fields_folder,
    )
