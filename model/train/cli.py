"""`echocast train RECIPE --archive DIR`, or `--data NAME[:PATH]`."""

from __future__ import annotations

import difflib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click
import numpy as np
import torch

from model.core.errors import InputError
from model.data.archive import Archive
from model.data.sources import RadarWindows, WindowSource, check_used, source_from
from model.train.checkpoint import read_recipe
from model.train.console import Console
from model.train.distributed import DistributedContext, ranks
from model.train.loop import RunOptions
from model.train.loop import train as run_training
from model.train.overrides import apply_overrides, list_settings
from model.train.recipe import Recipe
from model.train.recipes import RECIPES
from model.train.signals import StopSignal, TrainingInterrupted


@click.command()
@click.argument("recipe", required=False)
@click.option(
    "--archive",
    "archives",
    type=click.Path(path_type=Path),
    multiple=True,
    help="An archive's folder; may be given several times.",
)
@click.option(
    "--data", help="A data set instead: moving-mnist, moving-mnist:PATH, kth:DIR, taxibj:PATH or frames:PATH."
)
@click.option(
    "--fields",
    "fields_folder",
    type=click.Path(path_type=Path),
    help="Folder of exogenous fields, NAME.nc, for a recipe that reads them.",
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/latest"), show_default=True)
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    help="Where decoded frames are kept, for several runs to share.  [default: in --out]",
)
@click.option(
    "--resume", is_flag=True, help="Go on from the run's last checkpoint; without RECIPE, with the run's own."
)
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    metavar="PACKAGE_OR_RUN",
    help="Begin with the weights of a package's folder, or the best of a run's.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Instead of the recipe's, any field: optimiser.learning_rate=3e-4; may be given several times.",
)
@click.option("--iterations", type=click.IntRange(1), help="Instead of the recipe's.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Stop after so many minutes at most.")
@click.option("--batch", type=click.IntRange(1), help="Instead of the recipe's.")
@click.option("--seed", type=click.IntRange(0), help="Instead of the recipe's.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads of PyTorch.")
@click.option(
    "--loader-workers", type=click.IntRange(1), default=2, show_default=True, help="Threads that draw windows."
)
@click.option("--checkpoint-every", type=click.IntRange(1), metavar="N", help="A checkpoint every N iterations too.")
@click.option(
    "--checkpoint-minutes",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="A checkpoint after so many minutes without one.",
)
@click.option("--list", "as_list", is_flag=True, help="List the recipes.")
@click.option("--show", is_flag=True, help="Print every field of RECIPE, as --set takes them.")
def train(
    recipe: str | None,
    archives: tuple[Path, ...],
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
            click.echo(f"{name:<26} {_described(make())}")
        return
    short = {"iterations": iterations, "batch": batch, "seed": seed}
    given = [*settings, *(f"{name}={value}" for name, value in short.items() if value is not None)]
    chosen = apply_overrides(read_recipe(out) if resume and not recipe else _named(recipe), given)
    if show:
        click.echo("\n".join(list_settings(chosen)))
        return
    if bool(archives) == bool(data):
        raise click.UsageError("Give either --archive (once or more), or --data: what to train on")
    if data:
        check_used(data, given)
    if fields_folder and not chosen.fields:
        raise click.UsageError(f"--fields: the recipe {chosen.name} reads no exogenous fields. Leave it out")
    if init and resume:
        raise click.UsageError("--init is for the begin of a run. Leave it out to go on with --resume")
    if threads:
        torch.set_num_threads(threads)
    options = RunOptions(
        minutes=minutes,
        checkpoint_every=checkpoint_every,
        checkpoint_minutes=checkpoint_minutes,
        loader_workers=loader_workers,
        init=init,
    )
    with ranks() as joined:
        try:
            _train(chosen, archives, data, fields_folder, out, cache or out / "cache", resume, options, joined)
        except InputError:
            if joined.main:
                raise
            sys.exit(2)


def _train(
    recipe: Recipe,
    archives: Sequence[Path],
    data: str | None,
    fields_folder: Path | None,
    out: Path,
    cache: Path,
    resume: bool,
    options: RunOptions,
    joined: DistributedContext,
) -> None:
    def source() -> WindowSource:
        windows = recipe.windows
        if data:
            return source_from(
                data,
                cache_folder=cache,
                context=windows.context,
                leads=windows.leads,
                channels=recipe.model.channels,
                multiple=recipe.model.net.stride,
                holdout=recipe.holdout.time_fraction,
            )
        return radar(archives, recipe, cache, fields_folder)

    stop = StopSignal()
    with stop.listening(), Console(recipe, shown=joined.main) as console:
        try:
            best = run_training(
                recipe,
                source,
                out,
                resume=resume,
                options=options,
                ranks=joined,
                stop=stop,
                report=console.report,
                say=console.say,
            )
        except TrainingInterrupted as stopped:
            _end(stopped, console, joined)
    if joined.main:
        package = f"echocast export {out} --out ./packages --name NAME --version 1"
        click.echo(f"Best weights in {best}. Make a package of them: {package}")


def _end(stopped: TrainingInterrupted, console: Console, joined: DistributedContext) -> NoReturn:
    words = sys.argv[1:]
    for index in reversed(range(len(words))):
        if words[index] == "--init":
            del words[index : index + 2]
        elif words[index].startswith("--init=") or words[index] == "--resume":
            del words[index]
    how = "Go on with" if joined.world == 1 else "Go on with torchrun as before, and"
    console.say(
        f"TrainingInterrupted after iteration {stopped.iteration}. {how}: echocast {shlex.join(words)} --resume"
        if stopped.iteration
        else "TrainingInterrupted before the first iteration: nothing to go on with"
    )
    sys.exit(128 + stopped.signal)


def _named(name: str | None) -> Recipe:
    """The recipe of that name.

    Raises
    ------
    click.UsageError
        There is none.
    """
    if name is None:
        raise click.UsageError("Name a RECIPE: `echocast train --list` lists them")
    if name not in RECIPES:
        near = [each for each in RECIPES if name in each] or difflib.get_close_matches(name, RECIPES, cutoff=0.4)
        nearest = f" Nearest: {', '.join(near[:3])}." if near else ""
        raise click.UsageError(f"no recipe is called {name!r}.{nearest} `echocast train --list` lists them")
    return RECIPES[name]()


def _described(recipe: Recipe) -> str:
    windows, optimiser = recipe.windows, recipe.optimiser
    return (
        f"{windows.context} frames in, {windows.leads} out; {recipe.iterations} x {recipe.batch}, "
        f"{optimiser.learning_rate:g} {optimiser.schedule}"
    )


def radar(archives: Sequence[Path], recipe: Recipe, cache_folder: Path, fields_folder: Path | None) -> RadarWindows:
    """Windows of archives, as the recipe wants them.

    Raises
    ------
    InputError
        An archive is none, or the recipe does not fit it.
    """
    opened = [Archive(path) for path in archives]
    for archive in opened:
        _check_steps(archive, recipe)
    return RadarWindows(
        opened,
        recipe.windows,
        recipe.holdout,
        cache_folder,
        fields=recipe.fields,
        fields_folder=fields_folder,
    )


def _check_steps(archive: Archive, recipe: Recipe) -> None:
    """Whether an archive's frames lie any of the recipe's steps apart.

    Raises
    ------
    InputError
        They do not.
    """
    seconds = np.unique(archive.times.astype("datetime64[s]").astype(np.int64))
    if len(seconds) < 2:
        return
    steps = recipe.windows.step_minutes
    if any(np.isin(seconds + round(step * 60), seconds).any() for step in steps):
        return
    own = float(np.median(np.diff(seconds))) / 60
    raise InputError(
        f"its frames are {own:g} min apart, and the recipe {recipe.name} is for steps of "
        f"{', '.join(f'{step:g}' for step in steps)} min",
        where=str(archive.root),
        hint=f"Choose another recipe, or --set windows.step_minutes={own:g}",
    )
