"""`echocast train RECIPE --archive DIR`, or `--data NAME[:PATH]`."""

from __future__ import annotations

import difflib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
import numpy as np
import torch

from model.core.errors import InputError
from model.core.progress import ProgressBar
from model.data.archive import Archive
from model.data.datasets import WindowDataset, check_used, open_dataset
from model.data.radar_dataset import RadarDataset
from model.train.console import ConsoleProgress
from model.train.distributed import DistributedContext, join_processes
from model.train.loop import RunOptions
from model.train.loop import train as run_training
from model.train.overrides import apply_overrides, list_settings
from model.train.recipe import Recipe
from model.train.recipes import RECIPES
from model.train.resume import stored_recipe
from model.train.signals import StopSignal, TrainingInterrupted

PATH: Final = click.Path(path_type=Path)


@click.command()
@click.argument("recipe", required=False)
@click.option(
    "--archive", "archives", type=PATH, multiple=True, help="Folder of an archive; may be given several times."
)
@click.option(
    "--archive-weight",
    "weights",
    type=click.FloatRange(min=0, min_open=True),
    multiple=True,
    help="How often to draw from an archive, relative to the others: one for each --archive, in order.",
)
@click.option(
    "--data",
    help="A data set instead of archives: moving-mnist, moving-mnist:PATH, kth:DIR, taxibj:PATH or frames:PATH.",
)
@click.option(
    "--fields", "fields_folder", type=PATH, help="Folder of exogenous fields, NAME.nc, for a recipe that reads them."
)
@click.option("--out", type=PATH, default=Path("runs/latest"), show_default=True, help="Folder of the run.")
@click.option(
    "--cache", type=PATH, help="Folder for decoded frames, which several runs can share.  [default: in --out]"
)
@click.option(
    "--resume",
    is_flag=True,
    help="Resume from the last checkpoint of the run; without RECIPE, with the recipe of the run.",
)
@click.option(
    "--init",
    type=PATH,
    metavar="PACKAGE_OR_RUN",
    help="Start with the weights of a package, or the best weights of a run (their folder).",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Override a field of the recipe, e.g. optimiser.learning_rate=3e-4; may be given several times.",
)
@click.option("--iterations", type=click.IntRange(1), help="Number of iterations, instead of the recipe's.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Stop after this many minutes at most.")
@click.option("--batch", type=click.IntRange(1), help="Windows in a batch, instead of the recipe's.")
@click.option("--seed", type=click.IntRange(0), help="Seed of weights and windows, instead of the recipe's.")
@click.option("--threads", type=click.IntRange(1), help="Number of CPU threads of PyTorch.")
@click.option(
    "--loader-workers",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Number of threads that draw windows.",
)
@click.option(
    "--checkpoint-every", type=click.IntRange(1), metavar="N", help="Also write a checkpoint every N iterations."
)
@click.option(
    "--checkpoint-minutes",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="Write a checkpoint after this many minutes without one.",
)
@click.option("--list", "as_list", is_flag=True, help="List the recipes.")
@click.option("--show", is_flag=True, help="Print every field of RECIPE, as --set takes them.")
def train(
    recipe: str | None,
    archives: tuple[Path, ...],
    weights: tuple[float, ...],
    data: str | None,
    fields_folder: Path | None,
    out: Path,
    cache: Path | None,
    resume: bool,
    init: Path | None,
    settings: tuple[str, ...],
    iterations: int | None,
    minutes: float | None,
    batch: int | None,
    seed: int | None,
    threads: int | None,
    loader_workers: int,
    checkpoint_every: int | None,
    checkpoint_minutes: float,
    as_list: bool,
    show: bool,
) -> None:
    """Train RECIPE on radar archives or a data set; then `echocast export` makes a package of the run."""
    if as_list:
        for name, make in RECIPES.items():
            each = make()
            size, rate = f"{each.iterations} x {each.batch}", each.optimiser
            frames = f"{each.windows.context} frames in, {each.windows.leads} out"
            click.echo(f"{name:<26} {frames}; {size}, {rate.learning_rate:g} {rate.schedule}")
        return
    shorthands = {"iterations": iterations, "batch": batch, "seed": seed}
    overrides = [*settings, *(f"{name}={value}" for name, value in shorthands.items() if value is not None)]
    chosen = apply_overrides(stored_recipe(out) if resume and not recipe else _find_recipe(recipe), overrides)
    if show:
        click.echo("\n".join(list_settings(chosen)))
        return
    if bool(archives) == bool(data):
        raise click.UsageError("Give either --archive (once or more) or --data, to name what to train on")
    if weights and len(weights) != len(archives):
        raise click.UsageError(f"{len(weights)} --archive-weight for {len(archives)} --archive: give one for each")
    if data:
        check_used(data, overrides)
    if fields_folder and not chosen.fields:
        raise click.UsageError(f"--fields: the recipe {chosen.name} reads no exogenous fields. Leave it out")
    if init and resume:
        raise click.UsageError("--init is for the start of a run. Leave it out to continue with --resume")
    if threads:
        torch.set_num_threads(threads)
    options = RunOptions(
        max_minutes=minutes,
        checkpoint_every=checkpoint_every,
        checkpoint_minutes=checkpoint_minutes,
        loader_workers=loader_workers,
        init=init,
    )
    cache = cache or out / "cache"
    with (
        join_processes() as distributed,
        StopSignal().installed() as stop,
        ProgressBar(chosen.name, 1.0, percent=True, hidden=not distributed.is_main) as bar,
    ):
        console = ConsoleProgress(bar, visible=distributed.is_main)
        try:
            best = run_training(
                chosen,
                lambda: (
                    _open_data(data, chosen, cache)
                    if data
                    else radar_windows(archives, chosen, cache, fields_folder, weights)
                ),
                out,
                resume=resume,
                options=options,
                distributed=distributed,
                stop=stop,
                on_progress=console.on_progress,
                notify=console.notify,
            )
        except TrainingInterrupted as interrupted:
            console.notify(_how_to_resume(interrupted.iteration, distributed))
            sys.exit(128 + interrupted.signal)
        except InputError:
            if distributed.is_main:
                raise
            sys.exit(2)
    if distributed.is_main:
        package = f"echocast export {out} --out ./packages --name NAME --version 1"
        click.echo(f"Best weights in {best}. Make a package of them: {package}")


def _open_data(data: str, recipe: Recipe, cache_folder: Path) -> WindowDataset:
    return open_dataset(
        data,
        cache_folder=cache_folder,
        context=recipe.windows.context,
        leads=recipe.windows.leads,
        channels=recipe.model.channels,
        multiple=recipe.model.net.stride,
        holdout=recipe.holdout.time_fraction,
    )


def _how_to_resume(iteration: int, distributed: DistributedContext) -> str:
    """Return a sentence with the command that resumes the run: the one that was given, without --init."""
    if not iteration:
        return "Stopped before the first iteration: there is nothing to resume"
    words = sys.argv[1:]
    for index in reversed(range(len(words))):
        if words[index] == "--init":
            del words[index : index + 2]
        elif words[index].startswith("--init=") or words[index] == "--resume":
            del words[index]
    how = "Resume with" if distributed.world_size == 1 else "Resume with torchrun as before, and"
    return f"Stopped after iteration {iteration}. {how}: echocast {shlex.join(words)} --resume"


def _find_recipe(name: str | None) -> Recipe:
    """Return the recipe with a name.

    Raises
    ------
    click.UsageError
        No recipe has this name.
    """
    if name is None:
        raise click.UsageError("Name a RECIPE: `echocast train --list` lists them")
    if name not in RECIPES:
        near = [each for each in RECIPES if name in each] or difflib.get_close_matches(name, RECIPES, cutoff=0.4)
        nearest = f" Nearest: {', '.join(near[:3])}." if near else ""
        raise click.UsageError(f"no recipe is called {name!r}.{nearest} `echocast train --list` lists them")
    return RECIPES[name]()


def radar_windows(
    archives: Sequence[Path],
    recipe: Recipe,
    cache_folder: Path,
    fields_folder: Path | None,
    weights: Sequence[float] = (),
) -> RadarDataset:
    """Open archives as a source of windows.

    Parameters
    ----------
    archives : sequence of Path
        Folders of archives.
    recipe : Recipe
        How windows are cut, and what is held out.
    cache_folder : Path
        Folder for decoded frames.
    fields_folder : Path or None
        Folder of the exogenous fields that the recipe names.
    weights : sequence of float
        How often each archive is drawn; see `RadarDataset`.

    Returns
    -------
    RadarDataset
        The source.

    Raises
    ------
    InputError
        A folder is no archive, or the recipe does not fit it.
    """
    opened = [Archive(path) for path in archives]
    for archive in opened:
        _check_time_step(archive, recipe)
    return RadarDataset(
        opened,
        recipe.windows,
        recipe.holdout,
        cache_folder,
        fields=recipe.fields,
        fields_folder=fields_folder,
        weights=weights,
    )


def _check_time_step(archive: Archive, recipe: Recipe) -> None:
    """Check that some frames of an archive are as far apart as one of the recipe's time steps.

    Raises
    ------
    InputError
        No two frames are.
    """
    seconds = np.unique(archive.times.astype("datetime64[s]").astype(np.int64))
    if len(seconds) < 2:
        return
    steps = recipe.windows.step_minutes
    if any(np.isin(seconds + round(step * 60), seconds).any() for step in steps):
        return
    own_step = float(np.median(np.diff(seconds))) / 60
    raise InputError(
        f"its frames are {own_step:g} min apart, and the recipe {recipe.name} is for steps of "
        f"{', '.join(f'{step:g}' for step in steps)} min",
        where=str(archive.root),
        hint=f"Choose another recipe, or --set windows.step_minutes={own_step:g}",
    )
