"""The training loop, the same for every network and data set: windows in, weights out.

The weights are the exponential mean of those that scored best on the held-out part.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch

from model.core.errors import InputError
from model.core.manifest import DataKind
from model.data.sources import WindowSource
from model.data.windows import Window
from model.nets.stack import StackConfig
from model.train.batch import Batch, collate, map_frames
from model.train.checkpoint import Run, Say, check_compatible, new_state, resumed
from model.train.cpu_memory import return_freed_memory
from model.train.data_loader import batches
from model.train.distributed import SINGLE_PROCESS, DistributedContext
from model.train.logger import Log, Report
from model.train.mixed_precision import settled
from model.train.pretrained import init_from
from model.train.recipe import SCORED_MM_H, RainLoss, Recipe
from model.train.recipe_json import write_recipe_json
from model.train.run_folder import (
    BEST,
    LAST,
    NAN_BATCH,
    PREVIOUS,
    PROVENANCE,
    run_folder,
    save_atomically,
    write_json,
)
from model.train.signals import StopSignal, TrainingInterrupted
from model.train.training_step import NonFiniteLoss, Step, compiled, step
from model.train.validation import forecast_of, selection_metric, validate

OF_RAIN: Final = "Train it with --archive, or choose a recipe for frames, such as mnist-predrnn"


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run is made, apart from what is learned.

    `minutes`: at most; schedules go by it where it is nearer than the recipe's iterations. `checkpoint_every`: so many
    iterations, or `checkpoint_minutes`, whichever is first; and after each validation. `loader_workers`: threads that
    draw windows. `init`: a package's folder or a run's, whose weights are begun with.
    """

    minutes: float | None = None
    checkpoint_every: int | None = None
    checkpoint_minutes: float = 10.0
    loader_workers: int = 2
    init: Path | None = None


def train(
    recipe: Recipe,
    source: WindowSource | Callable[[], WindowSource],
    out: Path,
    *,
    resume: bool = False,
    options: RunOptions | None = None,
    ranks: DistributedContext = SINGLE_PROCESS,
    stop: StopSignal | None = None,
    report: Report = lambda iteration, scores: None,
    say: Say = lambda line: None,
) -> Path:
    """Train until the recipe's iterations, or so many minutes, are done; returns the best checkpoint's path.

    `source`: the windows, or what makes them once `out` is there and is this run's alone.
    `out` keeps the recipe, where the data is from, logs, pictures of forecasts, the last two checkpoints and the best
    weights. The best weights are chosen on what the source holds out. Where that is a test set (Moving MNIST's test
    file, KTH's persons 17 to 25, the last weeks of TaxiBJ), the best scores are those of a choice made on the test:
    no estimate for data not seen, and somewhat too good. Those of the last checkpoint are not chosen.

    Windows and true frames are drawn by the recipe's seed and the iteration alone: a run that is resumed, from
    whichever iteration, does what the uninterrupted one would; on a CPU to the bit. With `minutes`, the schedules go by
    the time taken, which is never twice the same.

    Raises
    ------
    InputError
        `out` holds a run and `resume` is not set, or it holds none and `resume` is; the run is of another
        recipe or of other data; another command trains into `out`; a checkpoint is damaged; the windows do not fit
        the network; the loss or all the scores are no numbers; the time is over before the first iteration; or
        `out` cannot be written.
    TrainingInterrupted
        `stop` was asked to; the run is saved.
    """
    options = options or RunOptions()
    rows = ranks.rows(recipe.batch, recipe.gradient_accumulation_steps)
    with ExitStack() as stack:
        ranks.broadcast(lambda: stack.enter_context(run_folder(out)))
        kept = recipe
        recipe = ranks.broadcast(lambda: settled(kept, ranks.device, out, resume=resume, say=say))
        source = ranks.build_in_turn(source) if callable(source) else source
        made_of = {"kind": source.kind, **asdict(source.provenance())}
        held_out = source.held_out(recipe.seed + 1, recipe.batch, recipe.validation_windows)
        check_windows(recipe, held_out[0][0], source.kind)
        run = _begun(recipe, made_of, out, resume=resume, options=options, ranks=ranks, say=say)
        if recipe.compile:
            compiled(run.net)
        if recipe.checkpoint_activations:
            return_freed_memory()
        training = _Training(
            recipe=recipe,
            source=source,
            out=out,
            options=options,
            ranks=ranks,
            stop=stop or StopSignal(),
            rows=rows,
            validation=[collate(windows, ranks.device) for windows in held_out[ranks.rank :: ranks.world]],
            run=run,
            log=stack.enter_context(Log(out, run, report)) if ranks.main else None,
        )
        began_at = run.iteration
        training.go()
        if run.iteration == began_at and resume:
            say(f"The run is finished: {run.iteration} iterations. To go on, give it more --iterations, or --minutes")
    return out / BEST


def _begun(
    recipe: Recipe,
    made_of: dict[str, Any],
    out: Path,
    *,
    resume: bool,
    options: RunOptions,
    ranks: DistributedContext,
    say: Say,
) -> Run:
    """The run, new or where it was left; its recipe and its data are kept beside it."""
    run = new_state(recipe, ranks.device)
    exists = ranks.broadcast(lambda: any((out / name).exists() for name in (LAST, PREVIOUS)))
    if exists and not resume:
        raise InputError("the run exists", where=str(out), hint="Add --resume, or choose another --out")
    if resume and not exists:
        raise InputError(f"nothing to resume: no {LAST} in it", where=str(out), hint="Leave --resume out to begin")
    kept: dict[str, Any] = {}
    if exists:
        kept = ranks.broadcast(lambda: check_compatible(recipe, made_of, out))
        run.restore(ranks.broadcast(lambda: resumed(run, out, say)))
    elif options.init is not None:
        kept["init"] = init_from(run.net, options.init)
        run.ema.load_state_dict(run.net.state_dict())

    def keep() -> None:
        write_recipe_json(out, recipe, kept.get("init"))
        if not exists:
            write_json(out / PROVENANCE, made_of)

    ranks.broadcast(keep)
    return run


@dataclass(kw_only=True)
class _Training:
    """A run under way. What decides what is done next is the same on all ranks."""

    recipe: Recipe
    source: WindowSource
    out: Path
    options: RunOptions
    ranks: DistributedContext
    stop: StopSignal
    rows: tuple[int, ...]
    validation: Sequence[Batch]
    run: Run
    log: Log | None
    saved: tuple[int, float] = field(init=False)
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.saved = (self.run.iteration, self.run.seconds)
        self.began = time.monotonic() - self.run.seconds

    def go(self) -> None:
        """Until the end, or until told to stop."""
        run, recipe = self.run, self.recipe
        with closing(
            batches(
                self.source,
                seed=recipe.seed,
                batch=recipe.batch,
                rows=self.rows,
                iterations=range(run.iteration, recipe.iterations),
                workers=self.options.loader_workers,
                device=self.ranks.device,
            )
        ) as coming:
            while True:
                told_to_stop = self._agree()
                if told_to_stop:
                    if run.iteration > self.saved[0]:
                        self._save()
                    raise TrainingInterrupted(run.iteration, told_to_stop)
                progress = self._progress()
                due = progress >= 1 or run.iteration % recipe.validate_every == 0
                if due and run.validated < run.iteration:
                    self._validate()
                if progress >= 1:
                    break
                self._iterate(*next(coming), progress)
                if self._is_to_be_saved() and run.iteration % recipe.validate_every:
                    self._save()
        self._check_best()

    def _agree(self) -> int:
        """What rank 0's clock says becomes that of all; returns the signal that any of them heard, or 0."""
        seconds = time.monotonic() - self.began
        told = self.ranks.agreed(seconds, self.stop.asked)
        self.run.seconds = told[0]
        return told[1]

    def _progress(self) -> float:
        minutes = self.options.minutes
        by_time = self.run.seconds / (minutes * 60) if minutes else 0.0
        return max(self.run.iteration / self.recipe.iterations, by_time)

    def _iterate(self, batch: Batch, waited: float, progress: float) -> None:
        began = time.perf_counter()
        try:
            taken = step(self.run, batch, self.recipe, progress, self.ranks)
        except NonFiniteLoss as error:
            self._keep_nan_batch(batch)
            raise self._not_a_number(error.step) from None
        self.run.losses.append(taken.loss)
        if self.log:
            took = time.perf_counter() - began + waited
            told = {
                **taken._asdict(),
                "progress": progress,
                "frames_per_second": self.recipe.batch * batch.frames.data.shape[1] / took,
                "waiting": waited / took,
            }
            self.log.iteration(self.run, told)

    def _is_to_be_saved(self) -> bool:
        iteration, seconds = self.saved
        every, minutes = self.options.checkpoint_every or math.inf, self.options.checkpoint_minutes
        return self.run.iteration - iteration >= every or self.run.seconds - seconds >= minutes * 60

    def _save(self) -> None:
        self.ranks.broadcast(lambda: self.run.save(self.out))
        self.saved = (self.run.iteration, self.run.seconds)

    def _validate(self) -> None:
        run, kind = self.run, self.source.kind
        scores = validate(run.ema, self.validation, self.recipe, kind, self.ranks)
        run.validated = run.iteration

        def keep() -> None:
            if self.log is None:
                raise RuntimeError("only rank 0 writes")
            self.log.validation(run, scores)
            shown = self.validation[0]
            self.log.picture(run, shown, forecast_of(run.ema, shown, self.recipe), kind)
            if selection_metric(scores, kind) > run.best:
                run.best = selection_metric(scores, kind)
                run.save_best(self.out)

        self.ranks.broadcast(keep)
        run.losses = []
        self._save()

    def _keep_nan_batch(self, batch: Batch) -> None:
        content = {"frames": tuple(map_frames(batch.frames, self.ranks.gathered)), "context": batch.context}
        self.ranks.broadcast(lambda: save_atomically(self.out / NAN_BATCH, lambda file: torch.save(content, file)))

    def _not_a_number(self, taken: Step) -> InputError:
        run = self.run
        what = "gradient" if math.isfinite(taken.loss) else "loss"
        before = f", {run.losses[-1]:.4g} the iteration before" if run.losses else ""
        again = f" --init {self.out}" if (self.out / BEST).exists() else ""
        figures = f"learning rate {taken.learning_rate:.3g}, gradient norm {taken.gradient_norm:.3g}"
        return InputError(
            f"the {what} is not a number at iteration {run.iteration} (loss {taken.loss:.4g}{before}; {figures}); "
            f"the batch is in {NAN_BATCH}, and the checkpoints from before are kept",
            where=str(self.out),
            hint="Train with a lower --set optimiser.learning_rate or --set optimiser.clip_norm, "
            f"into another --out{again}",
        )

    def _check_best(self) -> None:
        run = self.run

        def check() -> None:
            if (self.out / BEST).exists():
                return
            reason, hint = "the time was over", "Give it more --minutes"
            if run.iteration:
                reason = "scores on the held-out part were never a number"
                hint = "Look at the held-out data, or lower the learning rate"
            raise InputError(
                f"no best weights after {run.iteration} iterations: {reason}", where=str(self.out), hint=hint
            )

        self.ranks.broadcast(check)


def check_windows(recipe: Recipe, window: Window, kind: DataKind) -> None:
    """Whether a recipe's network can read a window.

    Raises
    ------
    InputError
        It cannot.
    """
    config, net = recipe.model, recipe.model.net
    frames, channels, rows, columns = window.context.shape
    fields = 0 if window.fields is None else window.fields.shape[1]
    reason, hint = "", "Choose another recipe, or other data"
    if isinstance(recipe.loss, RainLoss) and kind != "rain":
        reason, hint = "its loss is of rain, and these frames are not", OF_RAIN
    elif kind == "rain" and not recipe.selection_thresholds_mm_h:
        reason = "no threshold says by which the best weights for rain are chosen"
        hint = f"Add --set selection_thresholds_mm_h={','.join(f'{each:g}' for each in SCORED_MM_H)}, or some of them"
    elif channels != config.channels:
        reason = f"the frames have {channels} channels, its network reads {config.channels}"
        hint = f"Add --set model.channels={channels}, or choose other data"
    elif frames != recipe.windows.context:
        reason = f"the windows have {frames} context frames, it wants {recipe.windows.context}"
    elif rows % net.stride or columns % net.stride:
        reason = f"the frames are {rows} x {columns}, its network wants multiples of {net.stride}"
        if kind == "rain":
            fitting = [side for side in (rows - rows % net.stride, rows + -rows % net.stride) if side]
            hint = f"Add {' or '.join(f'--set windows.crop={side}' for side in fitting)}"
    elif isinstance(net, StackConfig) and net.grid not in (None, (rows, columns)):
        reason = f"the frames are {rows} x {columns}, its network is bound to {net.grid}"
    elif fields != config.fields:
        reason = f"the windows have {fields} exogenous fields, its network reads {config.fields}"
    if reason:
        raise InputError(reason, where=f"recipe {recipe.name}", hint=hint)
