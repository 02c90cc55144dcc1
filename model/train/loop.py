"""The training loop, the same for every network and data set: windows in, weights out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from model.core.errors import InputError
from model.data.datasets import WindowDataset
from model.train.batch import Batch, collate, map_frames
from model.train.callbacks import Notify, ProgressCallback
from model.train.checkpoint import load_checkpoint, restore, save_best, save_checkpoint, save_nan_batch
from model.train.cpu_memory import return_freed_memory
from model.train.data_loader import load_batches
from model.train.distributed import SINGLE_PROCESS, DistributedContext
from model.train.logger import TrainingLogger
from model.train.mixed_precision import resolve_bfloat16
from model.train.pretrained import init_from
from model.train.recipe import Recipe
from model.train.recipe_json import write_recipe_json
from model.train.resume import check_resumable
from model.train.run_folder import BEST, LAST, NAN_BATCH, PREVIOUS, PROVENANCE, SHARP_CUTS, run_folder, write_json
from model.train.signals import StopSignal, TrainingInterrupted
from model.train.state import TrainingState, initial_state
from model.train.training_step import NonFiniteLoss, StepResult, compile_network, training_step
from model.train.validation import forecast, selection_metric, validate
from model.train.window_check import check_windows


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of a run that are not part of its recipe, because they do not change what is learned per iteration.

    Attributes
    ----------
    max_minutes : float or None
        Training time after which the run ends; schedules go by it where it ends the run before the recipe's
        iterations do.
    checkpoint_every : int or None
        Iterations from one checkpoint to the next, beside those after each validation.
    checkpoint_minutes : float
        Minutes without a checkpoint after which one is written.
    loader_workers : int
        Number of threads that draw windows.
    init : Path or None
        Folder of a package or a run, whose weights the run starts with.
    """

    max_minutes: float | None = None
    checkpoint_every: int | None = None
    checkpoint_minutes: float = 10.0
    loader_workers: int = 2
    init: Path | None = None


def train(
    recipe: Recipe,
    source: WindowDataset | Callable[[], WindowDataset],
    out: Path,
    *,
    resume: bool = False,
    options: RunOptions | None = None,
    distributed: DistributedContext = SINGLE_PROCESS,
    stop: StopSignal | None = None,
    on_progress: ProgressCallback = lambda iteration, figures: None,
    notify: Notify = lambda sentence: None,
) -> Path:
    """Train until the recipe's iterations, or the minutes of the options, are over.

    The best weights are chosen by their scores on the data that the source holds out. Where that is a test set (the
    test file of Moving MNIST, persons 17 to 25 of KTH, the last weeks of TaxiBJ), the best scores are optimistic, and
    no estimate for new data; those of the last checkpoint are not chosen.

    Windows and true frames depend on the recipe's seed and the iteration alone. On a CPU, a resumed run therefore has
    the weights of an uninterrupted one, bit by bit. Not so with `max_minutes`: schedules then go by the clock.

    Parameters
    ----------
    recipe : Recipe
        Network, data, loss and optimiser.
    source : WindowDataset or callable
        The windows, or a function that returns them, called when the folder exists and is locked.
    out : Path
        Folder for the recipe, the provenance of the data, logs, plots, the last two checkpoints and the best weights.
    resume : bool
        Whether to continue the run in `out`.
    options : RunOptions, optional
        Duration, checkpoints, threads, initial weights.
    distributed : DistributedContext
        The processes that train together.
    stop : StopSignal, optional
        Requests a stop after the current iteration.
    on_progress : ProgressCallback
        Called with the figures of each iteration and the scores of each validation.
    notify : Notify
        Called with sentences for the user.

    Returns
    -------
    Path
        The file of the best weights.

    Raises
    ------
    InputError
        `out` holds a run and `resume` is not set, or it holds none and `resume` is; the run is of another recipe or of
        other data; another command trains into `out`; a checkpoint is damaged; the windows do not fit the network; the
        loss or all scores are not finite; the time is over before the first iteration; or `out` cannot be written.
    TrainingInterrupted
        `stop` was set; the checkpoint is written.
    """
    options = options or RunOptions()
    rows = distributed.rows(recipe.batch, recipe.gradient_accumulation_steps)
    with ExitStack() as stack:
        distributed.broadcast(lambda: stack.enter_context(run_folder(out)))
        unresolved, device = recipe, distributed.device
        recipe = distributed.broadcast(lambda: resolve_bfloat16(unresolved, device, out, resume=resume, notify=notify))
        source = distributed.build_in_turn(source) if callable(source) else source
        provenance = {"kind": source.kind, **asdict(source.provenance())}
        held_out = source.held_out(recipe.seed + 1, recipe.batch, recipe.validation_windows)
        own_held_out = held_out[distributed.rank :: distributed.world_size]
        check_windows(recipe, held_out[0][0], source.kind)
        state = _start_or_resume(recipe, provenance, out, resume, options, distributed, notify)
        if recipe.compile:
            compile_network(state.net)
        if recipe.checkpoint_activations:
            return_freed_memory()
        logger = TrainingLogger(out, state, on_progress) if distributed.is_main else None
        if logger:
            stack.enter_context(closing(logger))
        first_iteration = state.iteration
        _Trainer(
            recipe=recipe,
            source=source,
            out=out,
            options=options,
            distributed=distributed,
            stop=stop or StopSignal(),
            rows=rows,
            validation=[collate(windows, device) for windows in own_held_out],
            state=state,
            logger=logger,
        ).run()
        if state.iteration == first_iteration and resume:
            notify(f"The run is finished: {state.iteration} iterations. To continue, add --iterations or --minutes")
    return out / BEST


def _start_or_resume(
    recipe: Recipe,
    provenance: dict[str, Any],
    out: Path,
    resume: bool,
    options: RunOptions,
    distributed: DistributedContext,
    notify: Notify,
) -> TrainingState:
    """Return the state to train from, and write the recipe and the provenance of the data beside it."""
    state = initial_state(recipe, distributed.device)
    exists = distributed.broadcast(lambda: any((out / name).exists() for name in (LAST, PREVIOUS)))
    if exists and not resume:
        raise InputError("the run exists", where=str(out), hint="Add --resume, or choose another --out")
    if resume and not exists:
        raise InputError(f"nothing to resume: no {LAST} in it", where=str(out), hint="Leave --resume out to start")
    init: dict[str, Any] | None = None
    if exists:
        init = distributed.broadcast(lambda: check_resumable(recipe, provenance, out))
        restore(state, distributed.broadcast(lambda: load_checkpoint(state, out, notify)))
    elif options.init is not None:
        init = init_from(state.net, options.init)
        state.ema.load_state_dict(state.net.state_dict())

    def write() -> None:
        write_recipe_json(out, recipe, init)
        if not exists:
            write_json(out / PROVENANCE, provenance)

    distributed.broadcast(write)
    return state


@dataclass(kw_only=True)
class _Trainer:
    """A run in progress. All ranks take the same decisions, from values that `_synchronise` makes equal."""

    recipe: Recipe
    source: WindowDataset
    out: Path
    options: RunOptions
    distributed: DistributedContext
    stop: StopSignal
    rows: tuple[int, ...]
    validation: Sequence[Batch]
    state: TrainingState
    logger: TrainingLogger | None
    saved: tuple[int, float] = field(init=False)
    """Iteration and seconds of the last checkpoint."""
    start: float = field(init=False)
    """The time at which the run would have started, had it never been interrupted."""

    def __post_init__(self) -> None:
        self.saved = (self.state.iteration, self.state.seconds)
        self.start = time.monotonic() - self.state.seconds

    def run(self) -> None:
        """Iterate, validate and write checkpoints until the end, or until a signal."""
        state, recipe = self.state, self.recipe
        with closing(
            load_batches(
                self.source,
                seed=recipe.seed,
                batch=recipe.batch,
                rows=self.rows,
                iterations=range(state.iteration, recipe.iterations),
                workers=self.options.loader_workers,
                device=self.distributed.device,
            )
        ) as batches:
            while True:
                if signal := self._synchronise():
                    if state.iteration > self.saved[0]:
                        self._save()
                    raise TrainingInterrupted(state.iteration, signal)
                progress = self._progress()
                due = progress >= 1 or state.iteration % recipe.validate_every == 0
                if due and state.last_validation < state.iteration:
                    self._validate()
                if progress >= 1:
                    break
                self._iterate(*next(batches), progress)
                if self._checkpoint_due() and state.iteration % recipe.validate_every:
                    self._save()
        self._check_best()

    def _synchronise(self) -> int:
        """Set the training time of all ranks to that of rank 0; return the signal that any rank has received, or 0."""
        self.state.seconds, signal = self.distributed.synchronise(time.monotonic() - self.start, self.stop.number)
        return signal

    def _progress(self) -> float:
        minutes = self.options.max_minutes
        by_time = self.state.seconds / (minutes * 60) if minutes else 0.0
        return max(self.state.iteration / self.recipe.iterations, by_time)

    def _iterate(self, batch: Batch, wait_seconds: float, progress: float) -> None:
        start = time.perf_counter()
        try:
            result = training_step(self.state, batch, self.recipe, progress, self.distributed)
        except NonFiniteLoss as error:
            frames = map_frames(batch.frames, self.distributed.gather)
            self.distributed.broadcast(lambda: save_nan_batch(frames, batch.context, self.out))
            raise self._explain_non_finite(error.result) from None
        self.state.losses.append(result.loss)
        if self.logger:
            seconds = time.perf_counter() - start + wait_seconds
            figures = {
                **result._asdict(),
                "progress": progress,
                "frames_per_second": self.recipe.batch * batch.frames.data.shape[1] / seconds,
                "waiting": wait_seconds / seconds,
            }
            self.logger.log_iteration(self.state, figures)

    def _checkpoint_due(self) -> bool:
        iteration, seconds = self.saved
        every, minutes = self.options.checkpoint_every or math.inf, self.options.checkpoint_minutes
        return self.state.iteration - iteration >= every or self.state.seconds - seconds >= minutes * 60

    def _save(self) -> None:
        self.distributed.broadcast(lambda: save_checkpoint(self.state, self.out))
        self.saved = (self.state.iteration, self.state.seconds)

    def _validate(self) -> None:
        state, kind = self.state, self.source.kind
        scores, cuts = validate(state.ema, self.validation, self.recipe, kind, self.distributed)
        state.last_validation = state.iteration

        def log_and_save_best() -> None:
            if self.logger is None:
                raise RuntimeError("only rank 0 writes")
            self.logger.log_validation(state, scores)
            plotted = self.validation[0]
            self.logger.log_forecasts(state, plotted, forecast(state.ema, plotted, self.recipe), kind)
            if selection_metric(scores, kind) > state.best_metric:
                state.best_metric = selection_metric(scores, kind)
                if cuts is not None:
                    write_json(self.out / SHARP_CUTS, cuts)
                save_best(state, self.out)

        self.distributed.broadcast(log_and_save_best)
        state.losses = []
        self._save()

    def _explain_non_finite(self, result: StepResult) -> InputError:
        state = self.state
        quantity = "gradient" if math.isfinite(result.loss) else "loss"
        before = f", {state.losses[-1]:.4g} the iteration before" if state.losses else ""
        restart = f" --init {self.out}" if (self.out / BEST).exists() else ""
        figures = f"learning rate {result.learning_rate:.3g}, gradient norm {result.gradient_norm:.3g}"
        return InputError(
            f"the {quantity} is not finite at iteration {state.iteration} (loss {result.loss:.4g}{before}; {figures}); "
            f"the batch is in {NAN_BATCH}, and the earlier checkpoints are intact",
            where=str(self.out),
            hint="Train with a lower --set optimiser.learning_rate or --set optimiser.clip_norm, "
            f"into another --out{restart}",
        )

    def _check_best(self) -> None:
        def check() -> None:
            if (self.out / BEST).exists():
                return
            reason, hint = "the time was over", "Give it more --minutes"
            if self.state.iteration:
                reason = "no scores on the held-out part were finite"
                hint = "Check the held-out data, or lower the learning rate"
            raise InputError(
                f"no best weights after {self.state.iteration} iterations: {reason}", where=str(self.out), hint=hint
            )

        self.distributed.broadcast(check)
