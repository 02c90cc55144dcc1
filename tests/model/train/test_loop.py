"""The loop over every kind of network and curriculum, on a few Moving MNIST windows."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.core.errors import InputError
from model.data.moving_mnist import open_moving_mnist
from model.data.windows import Window, WindowConfig
from model.losses import decoupling_loss, differential_divergence
from model.nets.forecast_model import build_model
from model.nets.simvp import SimVPConfig
from model.sampling import ReverseScheduledSampling, ScheduledSampling
from model.train.batch import collate
from model.train.loop import RunOptions, train
from model.train.lr_schedule import learning_rate
from model.train.objective import batch_loss, teacher_forcing_mask
from model.train.published_recipes import frame_model
from model.train.recipe import FrameLoss, Optimiser, RainLoss
from model.train.recipes import RECIPES
from model.train.run_folder import BEST, LAST, LOG, PROVENANCE
from model.train.validation import validate

CPU = torch.device("cpu")


class SameWindows:
    """A source that gives the same two Moving MNIST windows again and again, and holds them out too."""

    channels = 1
    kind = "frames"

    def __init__(self, context=3, leads=3):
        self.source = open_moving_mnist(context=context, leads=leads)

    def training(self, rng, batch):
        [windows] = self.held_out(0, batch, batch)
        while True:
            yield windows

    def held_out(self, seed, batch, count):
        return self.source.held_out(0, batch, count)

    def provenance(self):
        return self.source.provenance()


@pytest.fixture(scope="module")
def windows():
    return SameWindows()


def small(name, **changes):
    """The recipe with a small network, 3 frames in and 3 out."""
    recipe = RECIPES[name]()
    net = recipe.model.net
    if isinstance(net, SimVPConfig):
        net = replace(net, frames=3, hidden=4, translator_hidden=12, translator_layers=2)
    else:
        net = replace(net, hidden=8, patch=8)
    return replace(
        recipe,
        **{
            "model": frame_model(net),
            "windows": WindowConfig(context=3, leads=3, lagrangian=False),
            "iterations": 12,
            "batch": 2,
            "validate_every": 6,
            "validation_windows": 2,
            "bfloat16": False,
            **changes,
        },
    )


def trained(recipe, source, out, **options):
    """Loss of every iteration, and the lines of the log."""
    losses = []

    def on_progress(_, scores):
        if "loss" in scores:
            losses.append(scores["loss"])

    train(recipe, source, out, on_progress=on_progress, **options)
    return losses, [json.loads(line) for line in (out / LOG).read_text().splitlines()]


def ema_of(path):
    return torch.load(path, weights_only=True)["ema"]


@pytest.mark.parametrize("name", ["mnist-predrnn-v2", "mnist-ms-predrnn-v2", "mnist-tau", "mnist-ms-predrnn"])
def test_a_network_learns_the_windows_it_sees(name, windows, tmp_path):
    recipe = small(name, iterations=40, validate_every=20)
    recipe = replace(recipe, optimiser=replace(recipe.optimiser, learning_rate=5e-3, warmup_iterations=1))
    losses, log = trained(recipe, windows, tmp_path)
    assert np.mean(losses[-5:]) < 0.8 * losses[0]
    assert [line["iteration"] for line in log] == [20, 40]
    assert log[0]["loss"] == pytest.approx(np.mean(losses[:20]))
    assert log[1]["loss"] == pytest.approx(np.mean(losses[20:]))
    assert 0 < log[1]["mse"] < log[0]["mse"]
    assert set(log[1]) >= {"mae", "psnr", "ssim", "ratio"}


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(windows, tmp_path):
    recipe = small("mnist-predrnn-v2")
    whole, _ = trained(recipe, windows, tmp_path / "whole")

    def interrupt(iteration, scores):
        if iteration == 8 and "loss" in scores:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, windows, tmp_path / "parts", on_progress=interrupt)
    rest, log = trained(recipe, windows, tmp_path / "parts", resume=True)
    assert rest == pytest.approx(whole[6:], rel=1e-6)
    assert [line["iteration"] for line in log] == [6, 12]
    resumed, whole = ema_of(tmp_path / "parts" / LAST), ema_of(tmp_path / "whole" / LAST)
    assert all(torch.allclose(resumed[name], whole[name], atol=1e-6) for name in whole)


class DrawnWindows:
    """A source that draws new windows for every batch, and records them."""

    channels = 1
    kind = "frames"

    def __init__(self, digest="a"):
        self.source = open_moving_mnist(context=3, leads=3)
        self.digest = digest
        self.drawn = []

    def training(self, rng, batch):
        for windows in self.source.training(rng, batch):
            self.drawn.append(windows[0].context.tobytes())
            yield windows

    def held_out(self, seed, batch, count):
        return self.source.held_out(0, batch, count)

    def provenance(self):
        return replace(self.source.provenance(), digest=self.digest)


def test_a_resumed_run_sees_the_windows_that_an_uninterrupted_one_does(tmp_path):
    recipe = small("mnist-predrnn", iterations=4, validate_every=2)
    source, options = DrawnWindows(), RunOptions(loader_workers=1)  # several threads draw in any order
    whole, _ = trained(recipe, source, tmp_path / "whole", options=options)
    assert len(set(source.drawn)) == len(source.drawn) >= 4  # and no window twice

    def interrupt(iteration, scores):
        if iteration == 3 and "loss" in scores:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, DrawnWindows(), tmp_path / "parts", on_progress=interrupt, options=options)
    resumed = DrawnWindows()
    rest, _ = trained(recipe, resumed, tmp_path / "parts", resume=True, options=options)
    assert resumed.drawn[:2] == source.drawn[2:4]
    assert rest == pytest.approx(whole[2:], rel=1e-6)


def test_a_run_is_resumed_with_its_recipe_and_its_data_only(tmp_path):
    recipe = small("mnist-predrnn", iterations=1)
    train(recipe, DrawnWindows(), tmp_path)
    slower = replace(recipe, optimiser=replace(recipe.optimiser, learning_rate=1e-4))
    for changed, source, message in (
        (slower, DrawnWindows(), r"another recipe: optimiser\.learning_rate was 0\.001, is 0\.0001\."),
        (replace(recipe, sampling=None), DrawnWindows(), r"another recipe: sampling was .*, is None"),
        (recipe, DrawnWindows(digest="b"), "other data, with another digest"),
    ):
        with pytest.raises(InputError, match=message):
            train(changed, source, tmp_path, resume=True)
    train(replace(recipe, iterations=2), DrawnWindows(), tmp_path, resume=True)
    assert torch.load(tmp_path / LAST, weights_only=True)["iteration"] == 2
    (tmp_path / PROVENANCE).unlink()
    with pytest.raises(InputError, match="cannot be read"):
        train(recipe, DrawnWindows(), tmp_path, resume=True)


def test_there_must_be_a_run_to_resume(windows, tmp_path):
    with pytest.raises(InputError, match=r"nothing to resume: no last\.pt"):
        train(small("mnist-predrnn"), windows, tmp_path / "new", resume=True)


DAMAGED = {
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"garbage"),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "another object": lambda path: torch.save([1, 2], path),
    "a number": lambda path: torch.save(3, path),
    "no iteration": lambda path: torch.save(
        {name: value for name, value in torch.load(path, weights_only=True).items() if name != "iteration"}, path
    ),
    "other weights": lambda path: torch.save({"net": {"weight": torch.zeros(2)}}, path),
}


@pytest.fixture(scope="module")
def short_run(windows, tmp_path_factory):
    out = tmp_path_factory.mktemp("short")
    train(small("mnist-predrnn", iterations=1), windows, out)
    return out


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_checkpoint_is_named(damage, short_run, windows, tmp_path):
    run = shutil.copytree(short_run, tmp_path / "run")
    damage(run / LAST)
    with pytest.raises(InputError, match="not a checkpoint of this recipe") as caught:
        train(small("mnist-predrnn", iterations=1), windows, run, resume=True)
    assert caught.value.where == str(run / LAST)


def test_a_run_without_best_weights_does_not_end_as_if_it_had_some(tmp_path):
    recipe = small("mnist-predrnn", iterations=1)
    thrown = replace(recipe, optimiser=Optimiser(learning_rate=1.0, schedule="constant", ema_decay=0.0))
    object.__setattr__(thrown.optimiser, "learning_rate", 1e36)  # no setting may be so high
    with pytest.raises(InputError, match="no scores on the held-out part were finite"):
        train(thrown, DrawnWindows(), tmp_path / "run")
    with pytest.raises(InputError, match="the time was over"):
        train(recipe, DrawnWindows(), tmp_path / "hasty", options=RunOptions(max_minutes=1e-12))


def test_the_best_weights_have_the_least_error(windows, tmp_path):
    recipe = small("mnist-predrnn", iterations=3, validate_every=1)
    # The rate is right at first; then it throws the weights far away.
    recipe = replace(recipe, optimiser=Optimiser(learning_rate=3.0, schedule="one-cycle", ema_decay=0.0))
    _, log = trained(recipe, windows, tmp_path)
    least = min(log, key=lambda line: line["mse"])
    assert torch.load(tmp_path / BEST, weights_only=True)["iteration"] == least["iteration"]


def test_batch_norms_of_the_mean_weights_count_what_training_counts(windows, tmp_path):
    train(small("mnist-tau", iterations=2, validate_every=2), windows, tmp_path)
    kept = torch.load(tmp_path / LAST, weights_only=True)
    counted = {name for name in kept["ema"] if name.endswith("running_mean")}
    assert counted
    assert all(torch.equal(kept["ema"][name], kept["net"][name]) for name in counted)


def test_true_frames_reach_the_network(windows):
    recipe = small("mnist-predrnn")
    batch = collate(windows.held_out(0, 2, 2)[0], CPU)
    net = build_model(recipe.model)
    without = batch_loss(net, batch, recipe, torch.tensor([[True, True, True, False, False]] * 2))
    assert batch_loss(net, batch, recipe).item() == pytest.approx(without.item())
    with_forecast = batch_loss(net, batch, recipe, torch.ones(2, 5, dtype=torch.bool))
    only_first = batch_loss(net, batch, recipe, torch.tensor([[True] + [False] * 4] * 2))
    assert len({round(loss.item(), 8) for loss in (without, with_forecast, only_first)}) == 3


def test_the_sampling_schedule_changes_what_is_learned(windows, tmp_path):
    results = {}
    for name, sampling in (
        ("context", None),
        ("all", ScheduledSampling(rate=0.0, stop=100, total_steps=80)),
        ("over", ScheduledSampling(stop=0)),
    ):
        trained(small("mnist-predrnn", sampling=sampling, iterations=3), windows, tmp_path / name)
        results[name] = ema_of(tmp_path / name / LAST)

    def away(name):
        """Mean distance of the weights from those that read the context alone; threads round differently."""
        apart = [(results[name][key] - value).abs().flatten() for key, value in results["context"].items()]
        return torch.cat(apart).mean().item()

    assert away("all") > 10 * away("over")


@pytest.mark.parametrize(
    ("progress", "in_context", "in_forecast"), [(0, 0.5, 0.5), (0.468742, 0.9966, 0.25), (1, 1, 0)]
)
def test_a_short_run_has_all_of_its_schedule(windows, progress, in_context, in_forecast):
    recipe = small("mnist-predrnn-rss")
    assert recipe.sampling == ReverseScheduledSampling()
    batch = collate(windows.held_out(0, 2, 2)[0] * 200, CPU)
    drawn = teacher_forcing_mask(recipe, batch, iteration=7, progress=progress)
    rates = drawn.float().mean(dim=0).tolist()
    assert rates[0] == 1
    assert rates[1:] == pytest.approx([in_context] * 2 + [in_forecast] * 2, abs=0.08)
    assert torch.equal(drawn, teacher_forcing_mask(recipe, batch, iteration=7, progress=progress))


def test_regularisation_is_added_by_its_weight(windows):
    batch = collate(windows.held_out(0, 2, 2)[0], CPU)
    for name, weight, term in (
        (
            "mnist-predrnn-v2",
            "decoupling",
            lambda net, out: decoupling_loss(out.increments, net.stack.decouple, reduce="sum"),
        ),
        ("mnist-tau", "divergence", lambda net, out: differential_divergence(out.frames[:, 2:], batch.target, 0.01)),
    ):
        recipe = small(name)
        net = build_model(recipe.model).eval()
        loss = replace(recipe.loss, decoupling_reduce="sum", divergence_tau=0.01)
        plain, weighted = (
            batch_loss(net, batch, replace(recipe, loss=replace(loss, **{weight: value}))).item()
            for value in (0.0, 2.0)
        )
        added = term(net, net.rollout(batch.frames, 3, 3)).item()
        assert added > 1e-4
        assert weighted - plain == pytest.approx(2 * added, rel=1e-3)


def test_frames_without_data_are_never_read_as_true_nor_scored():
    rng = np.random.default_rng(0)
    context, target = (rng.random((3, 1, 64, 64), np.float32) for _ in "ct")
    target[1:] = np.nan
    full = Window(context=context, target=rng.random((3, 1, 64, 64), np.float32), step_minutes=1.0)
    batch = collate([Window(context=context, target=target, step_minutes=1.0), full], CPU)
    recipe = small("mnist-predrnn", sampling=ScheduledSampling(rate=0.0))
    assert teacher_forcing_mask(recipe, batch, 0, 0.0).tolist() == [[True] * 4 + [False], [True] * 5]
    net = build_model(recipe.model)
    loss = batch_loss(net, batch, replace(recipe, loss=FrameLoss(over="forecast")))
    forecast = net.rollout(batch.frames, 3, 3).frames[:, 2:]
    error = (forecast - batch.target).square()
    assert loss.item() == pytest.approx((error[0, 0].sum() + error[1].sum()).item() / error.numel(), rel=1e-5)


def test_leads_that_no_window_reaches_are_left_out():
    target = np.full((5, 1, 8, 8), np.nan, np.float32)
    target[:2] = 0.5
    batch = collate([Window(context=np.zeros((3, 1, 8, 8), np.float32), target=target, step_minutes=5.0)], CPU)
    assert batch.leads == 2


def test_a_lead_step_without_data_before_others_is_not_cut_off():
    target = np.full((5, 1, 8, 8), np.nan, np.float32)
    target[0], target[2] = 0.25, 0.75
    batch = collate([Window(context=np.zeros((3, 1, 8, 8), np.float32), target=target, step_minutes=5.0)], CPU)
    assert batch.target[0, :, 0, 0, 0].tolist() == [0.25, 0.0, 0.75]
    assert batch.target_known[0, :, 0, 0, 0].tolist() == [1, 0, 1]


def test_what_is_read_is_known():
    rng = np.random.default_rng(0)
    context, target = (rng.uniform(0.1, 1, (3, 2, 4, 4)).astype(np.float32) for _ in "ct")
    context[2, :, 0, 0] = np.nan  # the target is known there, and read, but no forecast is held to it
    target[1, 0, 1, 1] = np.nan  # of one channel only
    target[1, 0, 2, 2] = np.inf
    batch = collate([Window(context=context, target=target, step_minutes=5.0)], CPU)
    data, known = batch.frames.data[0], batch.frames.known[0]
    assert torch.equal((data != 0).all(dim=1, keepdim=True).float(), known)
    assert torch.equal((data != 0).any(dim=1, keepdim=True).float(), known)
    assert known[3, 0, 0, 0] == 1
    assert known[4, 0].sum() == 14
    assert batch.target_known[0, :, 0, 0, 0].tolist() == [0, 0, 0]


def test_the_loss_counts_the_target_only_where_the_newest_frame_has_data(windows):
    recipe = small("mnist-predrnn")
    [window] = windows.held_out(0, 1, 1)[0]
    window.context[2, :, :32] = np.nan
    net = build_model(recipe.model)
    losses = []
    for unseen in (0.0, 1.0):
        window.target[:, :, :32] = unseen
        losses.append(batch_loss(net, collate([window], CPU), recipe).item())
    assert losses[0] == losses[1] > 0


def test_a_target_counts_where_the_newest_frame_holds_data():
    context, target = (np.full((3, 1, 2, 2), 0.5, np.float32) for _ in "ct")
    context[2, 0, 0, 0] = context[0, 0, 0, 1] = target[1, 0, 1, 1] = np.nan
    batch = collate([Window(context=context, target=target, step_minutes=5.0)], CPU)
    assert batch.target_known[0, :, 0].tolist() == [[[0, 1], [1, 1]], [[0, 1], [1, 0]], [[0, 1], [1, 1]]]
    assert batch.frames.data.isfinite().all()


def test_exogenous_fields_reach_the_network(windows):
    recipe = small("mnist-predrnn")
    recipe = replace(recipe, model=replace(recipe.model, fields=2), fields=("solar-time",))
    shown = windows.held_out(0, 2, 2)[0]
    losses = []
    for value in (0.0, 1.0):
        fields = np.full((6, 2, 64, 64), value, np.float32)
        torch.manual_seed(0)
        net = build_model(recipe.model)
        batch = collate([replace(window, fields=fields) for window in shown], CPU)
        losses.append(batch_loss(net, batch, recipe).item())
    assert losses[0] != losses[1]


def test_persistence_has_the_ratio_one(windows):
    recipe = small("mnist-predrnn")
    net = build_model(replace(recipe.model, residual=True)).eval()  # starts as persistence
    batches = [collate(each, CPU) for each in windows.held_out(3, 2, 3)]
    scores = validate(net, batches, recipe, "frames").scores
    assert scores["ratio"] == pytest.approx(1.0)
    errors = [
        np.square(window.context[-1] - window.target).sum(axis=(1, 2, 3)).mean()
        for shown in windows.held_out(3, 2, 3)
        for window in shown
    ]
    assert scores["mse"] == pytest.approx(np.mean(errors), rel=1e-4)


def test_forecasts_are_clipped_before_they_are_scored(windows):
    recipe = small("mnist-predrnn")
    net = build_model(recipe.model).eval()
    assert not net.config.bounded
    torch.nn.init.constant_(next(p for n, p in net.named_parameters() if n.endswith("output.bias")), 7.0)
    batches = [collate(each, CPU) for each in windows.held_out(3, 2, 2)]
    far = np.concatenate([batch.target.numpy() for batch in batches])
    scores = validate(net, batches, recipe, "frames").scores
    assert scores["mae"] == pytest.approx((1 - far).sum((2, 3, 4)).mean(), rel=1e-4)


def test_predrnn_v2_of_ms_rnn_is_trained_with_reverse_scheduled_sampling():
    for name, recipe in ((name, make()) for name, make in RECIPES.items() if name.startswith("ms-rnn/")):
        n = recipe.iterations
        if name in ("ms-rnn/predrnn-v2", "ms-rnn/ms-predrnn-v2"):
            expected = ReverseScheduledSampling(constant_until=n / 3, stop=2 * n / 3, alpha=n / 15, total_steps=n)
        else:
            expected = ScheduledSampling(rate=1 / n, stop=n, total_steps=n)
        assert recipe.sampling == expected, name


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"windows": WindowConfig(context=4, leads=3)}, "3 context frames, the recipe needs 4"),
        ({"loss": RainLoss(csi_weight=0.5)}, "its loss is for rain"),
        ({"model": {"channels": 2}}, "1 channels, the network reads 2"),
        ({"model": {"fields": 2}, "fields": ("season",)}, "0 exogenous fields, the network reads 2"),
        ({"model": {"net": {"patch": 5}}}, "64 x 64, the network needs multiples of 5"),
        ({"model": {"net": {"grid": (32, 32)}}}, "bound to"),
    ],
)
def test_windows_that_do_not_fit_are_named(changes, reason, windows, tmp_path):
    recipe = small("mnist-predrnn")
    inner = dict(changes.get("model", {}))
    if "net" in inner:
        inner["net"] = replace(recipe.model.net, **inner["net"])
    recipe = replace(recipe, **{**changes, "model": replace(recipe.model, **inner)})
    with pytest.raises(InputError, match=reason):
        train(recipe, windows, tmp_path)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("mnist-tau", {"sampling": ScheduledSampling()}),
        ("mnist-tau", {"loss": FrameLoss(over="all")}),
        ("mnist-tau", {"windows": WindowConfig(context=5)}),
        ("mnist-predrnn", {"loss": FrameLoss(decoupling=0.1)}),
        ("mnist-predrnn", {"fields": ("season",)}),
    ],
)
def test_a_recipe_that_contradicts_itself_is_refused(name, changes):
    with pytest.raises(ValueError, match=name):
        replace(RECIPES[name](), **changes)


def test_learning_rates_by_schedule():
    cosine = Optimiser(learning_rate=1.0, final_learning_rate=0.2, warmup_iterations=10)
    assert learning_rate(cosine, 4, 0.0) == pytest.approx(0.5)
    assert learning_rate(cosine, 50, 0.5) == pytest.approx(0.6)
    assert learning_rate(cosine, 100, 1.0) == pytest.approx(0.2)
    cycle = replace(cosine, schedule="one-cycle")
    rates = [learning_rate(cycle, 0, progress) for progress in (0.0, 0.15, 0.3, 0.65, 1.0)]
    assert rates == pytest.approx([0.04, 0.52, 1.0, 0.6, 0.2])
    assert learning_rate(replace(cosine, schedule="constant"), 0, 0.7) == 1.0
