"""Weights in the layout of the authors' repositories give the numbers of the authors' equations here."""

import datetime
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from pyproj import CRS

from model.core.errors import InputError
from model.core.grid import Grid
from model.core.manifest import read_manifest
from model.core.model_info import ModelInfo
from model.core.normalisation import hko7_fraction
from model.core.sequence import FrameSequence
from model.export.checkpoints.convert import convert, read_checkpoint
from model.nets.forecast_model import RecurrentModel
from model.nets.motion_gru import MSRNNMotionGRU
from model.nets.networks import IN_MS_RNN
from model.nets.warp import warp
from model.runtime.onnx_predictor import OnnxPredictor
from model.runtime.request import ForecastRequest
from service.cli import cli
from tests.model.nets.reference import motionrnn, ms_rnn, openstl, predrnn_pytorch
from tests.model.nets.reference.common import published_warp, random_state

STEPS = 4
ALIKE, UNLIKE = 1e-5, 1e-3


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network of a family: shapes of its tensors, its reference, and weights whose gates may be swapped."""

    family: str
    network: str
    shapes: dict
    reference: Callable
    gates: dict
    """Key of a weight -> how many gates its rows are."""
    without_skip: Callable | None = None
    frames: tuple = (16, 24)
    channels: int = 1
    fields: int = 0
    given: str = ""
    form: str = "as-published"
    keys: dict = field(default_factory=dict)

    @property
    def state(self):
        return random_state(self.shapes)

    def inputs(self, batch=2):
        generator = torch.Generator().manual_seed(3)
        frames = torch.rand(batch, STEPS, self.channels, *self.frames, generator=generator)
        fields = torch.rand(batch, STEPS, self.fields, *self.frames, generator=generator)
        return (frames, fields) if self.fields else (frames,)


def of_cells(gates, layers, prefix="cell_list"):
    return {f"{prefix}.{layer}.{key}.0.weight": count for layer in layers for key, count in gates.items()}


def predrnn_case(name, *, family="predrnn-pytorch", patch=4, channels=1, **shapes):
    return Case(
        family=family,
        network=name,
        shapes=predrnn_pytorch.shapes(planes=channels * patch**2, **shapes),
        reference=partial(predrnn_pytorch.forward, patch=patch),
        gates=of_cells(predrnn_pytorch.GATES, (0, 2)),
        channels=channels,
        frames=(16, 16) if shapes.get("norm") else (16, 24),
    )


def action_case(name, **shapes):
    return Case(
        family="predrnn-pytorch",
        network=name,
        shapes=predrnn_pytorch.action_shapes(**shapes),
        reference=predrnn_pytorch.action_forward,
        gates=of_cells({**predrnn_pytorch.GATES, "conv_a": 4}, (0, 2)),
        without_skip=partial(predrnn_pytorch.action_forward, skips=False),
        channels=3,
        fields=4,
    )


def ms_rnn_case(name, form="as-published"):
    base = name.removeprefix("ms-")
    published = form == "as-published" and base in ms_rnn.AS_PUBLISHED
    forward = partial(ms_rnn.forward, network=base, multi_scale=name != base, published=published)
    counts = {
        "convlstm": {"_conv_x2h": 4, "_conv_h2h": 4},
        "trajgru": {"_conv_x2h": 3, "_conv_flow": 5, "project": 3},
        "predrnn": {"_conv_x2h": 4, "_conv_h2h": 4, "_conv_x2h_m": 3, "_conv_m2h_m": 3},
        "predrnn-pp": {"_conv_x_h_c": 3, "_conv_x_c_m": 3, "_conv_x": 2, "_conv_z": 2},
        "mim": {"_conv_x2h_n": 3, "_conv_n2h_n": 3, "_conv_x2h_s": 4, "_conv_c2h_s": 4, "_conv_m2h_m": 3},
        "motionrnn": {"_conv_x2h_n": 3, "_conv_x2h_m": 3, "_conv_u": 9, "_conv_z": 9, "_conv_hm": 9},
    }
    return Case(
        family="ms-rnn",
        network=name,
        given=name,
        form=form,
        shapes=ms_rnn.shapes(base),
        reference=forward,
        gates={f"rnns.lstm.1.{key}.weight": n for key, n in counts[base.removesuffix("-v2")].items()},
        without_skip=partial(forward, skips=False) if name != base else None,
        frames=(24, 16),
    )


def openstl_case(name, shapes, reference, gates, **more):
    return Case(family="openstl", network=name, shapes=shapes, reference=reference, gates=gates, **more)


def simvp_case(name):
    translator = name.removeprefix("simvp-")
    # No gates of a cell here: halves of a weight are exchanged.
    part = "block.attn.spatial_gating_unit.conv1" if translator != "incepu" else "layers.2.conv"
    forward = partial(openstl.simvp, translator=translator)
    return openstl_case(
        name,
        openstl.simvp_shapes(translator),
        forward,
        {"enc.enc.1.conv.conv.weight": 2, f"hid.enc.1.{part}.weight": 2, "dec.dec.3.conv.conv.weight": 2},
        without_skip=partial(forward, skip=False),
    )


MIM_GATES = {
    **of_cells({"conv_x_cc": 4, "conv_s_cc": 4, "conv_t_cc": 3, "conv_x_concat": 4}, (1, 2), "stlstm_layer"),
    **of_cells({"conv_x_concat": 4, "conv_h_concat": 4}, (0, 1), "stlstm_layer_diff"),
    "stlstm_layer.1.ct_weight": 2,
}

WITH_FAULTS = [name for name in IN_MS_RNN if name.removeprefix("ms-") in ms_rnn.AS_PUBLISHED]

CASES = {
    "predrnn": predrnn_case("predrnn"),
    "predrnn, 3 channels": predrnn_case("predrnn", patch=2, channels=3),
    "predrnn, layer norms": predrnn_case("predrnn", norm=(4, 4)),
    "predrnn-v2": predrnn_case("predrnn-v2", adapter=True),
    "action-predrnn": action_case("action-predrnn"),
    "action-predrnn-v2": action_case("action-predrnn-v2", adapter=True),
    **{f"ms-rnn {name}": ms_rnn_case(name) for name in IN_MS_RNN},
    **{f"ms-rnn {name} as in the paper": ms_rnn_case(name, "paper") for name in WITH_FAULTS},
    "motionrnn": Case(
        family="motionrnn",
        network="motionrnn",
        shapes=motionrnn.shapes(),
        reference=partial(motionrnn.forward, patch=4),
        gates={**of_cells(predrnn_pytorch.GATES, (1,)), "motion_list.0.update.weight": 9, "gate_list.1.weight": 2},
        without_skip=partial(motionrnn.forward, patch=4, highway=False),
    ),
    "openstl convlstm": openstl_case(
        "convlstm",
        openstl.convlstm_shapes(),
        partial(openstl.recurrent, cell=openstl.convlstm_cell, patch=4),
        of_cells({"conv_x": 4, "conv_h": 4}, (0, 2)),
    ),
    "openstl predrnn": predrnn_case("predrnn", family="openstl"),
    "openstl predrnn-v2": predrnn_case("predrnn-v2", family="openstl", adapter=True),
    "openstl predrnn-pp": openstl_case(
        "predrnn-pp",
        openstl.predrnn_pp_shapes(),
        partial(openstl.recurrent, cell=openstl.causal_cell, patch=4),
        {
            **of_cells({"conv_x": 7, "conv_h": 4, "conv_c": 3, "conv_m": 3, "conv_c2m": 4}, (0, 2)),
            "gradient_highway.x_concat.0.weight": 2,
        },
    ),
    "openstl mim": openstl_case(
        "mim", openstl.mim_shapes((4, 6)), partial(openstl.mim, patch=4), MIM_GATES, keys={"grid": (16, 24)}
    ),
    "openstl mim, layer norms": openstl_case(
        "mim",
        openstl.mim_shapes((4, 6), norm=(4, 6)),
        partial(openstl.mim, patch=4),
        MIM_GATES,
        keys={"grid": (16, 24)},
    ),
    **{f"openstl {name}": simvp_case(name) for name in ("simvp-incepu", "simvp-gsta", "tau")},
}

of_every_network = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def ours(case, state, *inputs):
    """Answers [b, t, c, y, x] to each frame, of the network that the state dict becomes."""
    net = convert(state, case.family, network=case.given, channels=case.channels, form=case.form).build_model()
    frames, *fields = inputs
    with torch.no_grad():
        if not isinstance(net, RecurrentModel):
            return net.net(frames)
        stack, answers = net.stack, []
        states = stack.initial_state(frames.shape[0], *frames.shape[-2:], frames)
        for index in range(frames.shape[1]):
            read = stack.step(frames[:, index], states, None, fields[0][:, index] if fields else None)
            states = read.state
            answers.append(read.frame)
    return torch.stack(answers, 1)


def difference(one, other):
    return (one - other).abs().max().item()


@of_every_network
def test_answers_are_those_of_the_authors_equations(case):
    inputs = case.inputs()
    theirs = case.reference(case.state, *inputs)
    assert theirs.std() > 0.03
    assert difference(ours(case, case.state, *inputs), theirs) < ALIKE
    converted = convert(case.state, case.family, network=case.given, channels=case.channels, form=case.form)
    assert converted.network == case.network


@of_every_network
def test_two_gates_exchanged_are_noticed(case):
    inputs = case.inputs(batch=1)
    right = case.reference(case.state, *inputs)
    for key, count in case.gates.items():
        rows = list(case.state[key].chunk(count))
        rows[0], rows[1] = rows[1], rows[0]
        swapped = ours(case, {**case.state, key: torch.cat(rows)}, *inputs)
        assert difference(swapped, right) > UNLIKE, key


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.without_skip])
def test_a_dropped_skip_is_noticed(name):
    case = CASES[name]
    inputs = case.inputs(batch=1)
    assert difference(ours(case, case.state, *inputs), case.without_skip(case.state, *inputs)) > UNLIKE


def test_the_projection_of_the_decoupling_loss_comes_along():
    for name, key in (("predrnn-v2", "adapter"), ("ms-rnn ms-predrnn-v2", "rnns.adapter")):
        case = CASES[name]
        weights = convert(case.state, case.family, network=case.given).weights
        assert torch.equal(weights["stack.decouple.weight"], case.state[f"{key}.weight"])


@pytest.mark.parametrize("name", ["predrnn, layer norms", "openstl mim, layer norms"])
def test_weights_per_pixel_bind_to_their_grid_unless_they_are_the_same_everywhere(name):
    case = CASES[name]
    state = case.state
    assert convert(state, case.family).config.net.grid == case.frames
    even = {key: tensor[:, :1, :1].expand_as(tensor) if tensor.ndim == 3 else tensor for key, tensor in state.items()}
    assert convert(even, case.family).config.net.grid is None
    inputs = case.inputs()
    assert difference(ours(case, even, *inputs), case.reference(even, *inputs)) < ALIKE
    assert ours(case, even, torch.rand(1, 2, 1, 32, 48)).shape == (1, 2, 1, 32, 48)


def test_weights_that_do_nothing_are_dropped_and_named():
    def dropped(network):
        return "\n".join(convert(CASES[f"ms-rnn {network}"].state, "ms-rnn", network=network).ignored)

    pp, mim, motion = dropped("ms-predrnn-pp"), dropped("mim"), dropped("motionrnn")
    assert "rnns.lstm.0._conv_z.weight" in pp
    assert "rnns.lstm.1._conv_z" not in pp
    assert "rnns.lstm.0._conv_x2h_n.weight" in mim
    assert "rnns.lstm.3._conv_x2h, gate f" in mim
    assert "rnns.lstm.0._conv_x2h, gate f" not in mim
    assert "rnns.lstm.5._conv_enc.weight" in motion
    assert "rnns.lstm.4._conv_enc" not in motion


def without(state, key):
    return {name: tensor for name, tensor in state.items() if name != key}


def test_keys_that_do_not_fit_are_named():
    state = CASES["predrnn"].state
    with pytest.raises(InputError, match=r"cell_list\.1\.conv_m\.weight is missing"):
        convert(without(state, "cell_list.1.conv_m.0.weight"), "predrnn-pytorch")
    with pytest.raises(InputError, match=r"cell_list\.0\.gate\.weight is unexpected"):
        convert({**state, "cell_list.0.gate.weight": torch.zeros(1)}, "predrnn-pytorch")
    with pytest.raises(InputError, match=r"conv_m.*\(3, 4, 5, 5\)"):
        convert({**state, "cell_list.1.conv_m.0.weight": torch.zeros(3, 4, 5, 5)}, "predrnn-pytorch")
    with pytest.raises(InputError, match="13 rows, which cannot be split"):
        convert({**state, "cell_list.1.conv_m.0.weight": torch.zeros(13, 4, 5, 5)}, "predrnn-pytorch")
    with pytest.raises(InputError, match=r"cell_list\.0\.conv_h\.0\.weight is missing"):
        convert(without(state, "cell_list.0.conv_h.0.weight"), "predrnn-pytorch")
    even = torch.zeros(16, 4, 4, 4)
    with pytest.raises(InputError, match=r"no network has these shapes.*kernel 4"):
        convert({**state, "cell_list.0.conv_h.0.weight": even}, "predrnn-pytorch")
    with pytest.raises(InputError, match=r"conv_last\.weight is missing"):
        convert(without(state, "conv_last.weight"), "predrnn-pytorch")


@pytest.mark.parametrize("name", ["predrnn", "motionrnn", "ms-rnn ms-mim", "openstl mim", "openstl tau"])
def test_no_missing_tensor_goes_unnoticed(name):
    case = CASES[name]
    whole = convert(case.state, case.family, network=case.given)
    for key in case.shapes:
        if not key.endswith(".bias") and key not in whole.ignored:
            with pytest.raises(InputError):
                convert(without(case.state, key), case.family, network=case.given)


def test_another_familys_checkpoint_says_whose_it_is():
    with pytest.raises(InputError, match="Try --from ms-rnn"):
        convert(CASES["ms-rnn mim"].state, "predrnn-pytorch")
    with pytest.raises(InputError, match="Try --from openstl"):
        convert(CASES["openstl tau"].state, "ms-rnn", network="mim")
    with pytest.raises(InputError, match=r"the first is head\.weight"):
        convert({"head.weight": torch.zeros(1)}, "openstl")


def test_plain_and_multi_scale_must_be_told_apart():
    state = CASES["ms-rnn predrnn"].state
    with pytest.raises(InputError, match="--network predrnn or --network ms-predrnn"):
        convert(state, "ms-rnn")
    with pytest.raises(InputError, match="belong to ms-predrnn, not to ms-mim"):
        convert(state, "ms-rnn", network="ms-mim")
    four = random_state(ms_rnn.shapes("predrnn", layers=4))
    assert convert(four, "ms-rnn", network="predrnn").config.net.scales == (1, 1, 1, 1)
    with pytest.raises(InputError, match="4 layers"):
        convert(four, "ms-rnn", network="ms-predrnn")


def test_a_gradient_highway_that_openstl_cannot_run_is_refused():
    shapes = {**openstl.predrnn_pp_shapes(), "cell_list.0.conv_h.1.weight": (16, 4, 4)}
    with pytest.raises(InputError, match="gradient highway"):
        convert(random_state(shapes), "openstl")


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: state,
        lambda state: {"net_param": state},
        lambda state: {"epoch": 3, "state_dict": {f"model.{key}": tensor for key, tensor in state.items()}},
        lambda state: {f"module.{key}": tensor for key, tensor in state.items()},
        lambda state: {key: tensor.double() for key, tensor in state.items()},
    ],
    ids=["bare", "net_param", "lightning", "module", "float64"],
)
def test_files_as_the_repositories_write_them(tmp_path, wrapped):
    state = CASES["predrnn"].state
    torch.save(wrapped(state), tmp_path / "model.ckpt")
    read = read_checkpoint(tmp_path / "model.ckpt")
    assert all(torch.equal(read[key], tensor) for key, tensor in state.items())
    assert len(read) == len(state)


def test_files_that_are_no_checkpoints_say_so(tmp_path):
    path = tmp_path / "model.ckpt"
    with pytest.raises(InputError, match="No such file"):
        read_checkpoint(path)
    whole = tmp_path / "whole.ckpt"
    torch.save(CASES["predrnn"].state, whole)
    for content in (b"", b"not a checkpoint", b"PK\x03\x04" + bytes(200), whole.read_bytes()[:3000]):
        path.write_bytes(content)
        with pytest.raises(InputError, match="not a PyTorch checkpoint"):
            read_checkpoint(path)
    torch.save({"state_dict": {"a": torch.zeros(1)}, "made": datetime.date(2024, 1, 1)}, path)
    with pytest.raises(InputError, match=r"Python objects.*torch\.save\(model\.state_dict\(\), FILE\)"):
        read_checkpoint(path)
    torch.save({"epoch": 3}, path)
    with pytest.raises(InputError, match="no state dict"):
        read_checkpoint(path)
    torch.save({"a": torch.tensor([float("nan")])}, path)
    with pytest.raises(InputError, match="a holds NaN or infinite values"):
        read_checkpoint(path)


def test_a_zero_flow_moves_nothing_here_and_something_there():
    image = torch.rand(2, 3, 9, 14)
    still = torch.zeros(2, 2, 9, 14)
    assert torch.equal(warp(image, still.unsqueeze(1)).squeeze(2), image)
    assert difference(published_warp(image, still), image) > 0.1
    assert (
        difference(warp(image, still.unsqueeze(1), as_published=True).squeeze(2), published_warp(image, still)) < 1e-6
    )


def test_flows_of_a_batch_stay_with_their_samples_here_and_mix_there():
    """MS-RNN reshapes [b, 18, y, x] to [9, b, 2, y, x], as if the batch came second."""
    flows = torch.rand(2, 18, 4, 5)
    other = torch.cat([flows[:1], torch.rand(1, 18, 4, 5)])
    assert not torch.equal(flows.reshape(9, 2, 2, 4, 5)[:, 0], other.reshape(9, 2, 2, 4, 5)[:, 0])
    motion = MSRNNMotionGRU(8).eval()
    h, trend = torch.rand(2, 8, 8, 10), torch.rand(2, 18, 4, 5)
    with torch.no_grad():
        assert torch.equal(motion.step(h, flows, trend)[0][0], motion.step(h, other, trend)[0][0])


@pytest.fixture
def echocast():
    """Run the command; answers its output, or raises its error."""

    def run(*words):
        result = CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False, standalone_mode=False)
        assert result.exception is None
        return result.output

    return run


def save(tmp_path, name):
    torch.save(CASES[name].state, tmp_path / "theirs.pth")
    return tmp_path / "theirs.pth"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ms-rnn ms-predrnn", ["--network", "ms-predrnn", "--input-frames", 3, "--step", 5]),
        ("openstl tau", ["--min-step", 2, "--max-step", 10, "--licence", "MIT"]),
    ],
)
def test_an_imported_network_makes_a_nowcast(tmp_path, echocast, name, options):
    case = CASES[name]
    path = save(tmp_path, name)
    packages = tmp_path / "packages"
    theirs = ["models", "import", path, "--from", case.family, "--name", "theirs", "--version", 1, "--out", packages]
    assert str(packages / "theirs" / "1") in echocast(*theirs, *options)
    echocast("archive", "synth", tmp_path / "storm.nc", "--frames", 6, "--size", 64)
    out = tmp_path / "nowcast.nc"
    echocast(
        *("nowcast", tmp_path / "storm.nc", "--packages", packages, "--model", "theirs", "--steps", 6, "--out", out)
    )
    assert out.is_file()


def imported(tmp_path, echocast, state, name, version, *options):
    """The package of a network of MS-RNN's, and what the command said."""
    torch.save(state, tmp_path / "theirs.pth")
    words = ("--from", "ms-rnn", "--network", name, "--name", "theirs", "--version", version, "--step", 6)
    said = echocast("models", "import", tmp_path / "theirs.pth", *words, "--out", tmp_path / "packages", *options)
    return tmp_path / "packages" / "theirs" / str(version), said


@pytest.mark.parametrize("name", ["ms-trajgru", "ms-motionrnn"])
def test_a_package_of_theirs_forecasts_as_their_code_does_over_ten_frames(tmp_path, echocast, name):
    """What `auto` would run: the graph, by the runtime, from rain rates; to a ten-thousandth of the range."""
    case, leads, shape = CASES[f"ms-rnn {name}"], 10, (24, 16)
    quiet = case.state["fc.conv_fc.weight"] / 4  # answers that are fed back would grow without end
    state = {**case.state, "fc.conv_fc.weight": quiet}
    folder, _ = imported(tmp_path, echocast, state, name, 1)
    rain = np.random.default_rng(5).gamma(0.5, 8.0, (4, *shape)).astype(np.float32)
    frames = torch.from_numpy(hko7_fraction(rain))[None, :, None]
    with torch.no_grad():
        for _ in range(leads):
            frames = torch.cat([frames, case.reference(state, frames)[:, -1:]], dim=1)
    theirs = frames[0, 4:, 0].numpy()
    times = np.datetime64("2026-06-01T00:00", "s") + np.arange(4) * np.timedelta64(360, "s")
    grid = Grid(crs=CRS(3857), x=1000.0 * np.arange(shape[1]), y=1000.0 * np.arange(shape[0])[::-1])
    predictor = OnnxPredictor(ModelInfo.from_manifest(read_manifest(folder), folder))
    sequence = FrameSequence(rain_rate=rain, times=times, grid=grid, attributes={})
    inputs = predictor.prepare(ForecastRequest(sequence=sequence, steps=leads)).inputs
    ours = np.stack(list(predictor.session.run(replace(inputs, ceiling=np.inf), leads)))[:, 0]
    assert np.abs(ours - theirs).max() < 1e-4 * np.ptp(theirs)


def test_the_form_is_said_in_manifest_card_and_on_import_and_the_papers_can_be_had(tmp_path, echocast):
    state = CASES["ms-rnn ms-trajgru"].state
    folder, said = imported(tmp_path, echocast, state, "ms-trajgru", 1)
    manifest, card = read_manifest(folder), (folder / "card.md").read_text()
    assert manifest.imported.form == "as-published"
    assert manifest.config["net"]["as_published"] is True
    assert manifest.summary == "ms-trajgru of ms-rnn, as published, from theirs.pth."
    for text in (said, card, *manifest.imported.faults):
        assert "a zero flow shifts by up to half a pixel" in text
    folder, said = imported(tmp_path, echocast, state, "ms-trajgru", 2, "--form", "paper")
    manifest, card = read_manifest(folder), (folder / "card.md").read_text()
    assert (manifest.imported.form, manifest.config["net"]["as_published"]) == ("paper", False)
    assert "as in the paper" in manifest.summary
    for text in (said, card):
        assert "forecast differently than they did there" in text


def test_what_no_weight_carries_of_their_code_is_told():
    for name, told in (
        ("motionrnn", "random states"),
        ("openstl mim", "keeps a memory"),
        ("ms-rnn motionrnn", "mixes the flows of the samples of a batch"),
        ("action-predrnn", "res_on_conv 1"),
    ):
        case = CASES[name]
        assert told in " ".join(convert(case.state, case.family, network=case.given, channels=case.channels).remarks)
    assert convert(CASES["predrnn"].state, "predrnn-pytorch").remarks == ()


def test_pictures_in_colour_are_no_rain(tmp_path, echocast):
    path = save(tmp_path, "predrnn, 3 channels")
    with pytest.raises(InputError, match="3 channels, which cannot be rain"):
        echocast(
            *("models", "import", path, "--from", "predrnn-pytorch", "--name", "rgb", "--version", 1),
            *("--out", tmp_path, "--step", 6),
        )


def test_frames_that_are_not_rain_are_imported_as_such(tmp_path, echocast):
    path, packages = save(tmp_path, "predrnn, 3 channels"), tmp_path / "packages"
    words = ["models", "import", path, "--from", "predrnn-pytorch", "--kind", "frames", "--name", "rgb", "--version", 1]
    echocast(*words, "--out", packages)
    assert "makes no nowcast" in echocast("models", "show", "rgb", "--packages", packages)
    echocast("archive", "synth", tmp_path / "storm.nc", "--frames", 12, "--size", 64)
    with pytest.raises(InputError, match="not rain"):
        echocast("nowcast", tmp_path / "storm.nc", "--packages", packages, "--model", "rgb", "--out", tmp_path / "n.nc")


@pytest.mark.parametrize("steps", [[], ["--min-step", 5], ["--step", 0], ["--step", 5, "--max-step", 6]])
def test_the_time_step_of_a_checkpoint_must_be_given(tmp_path, steps):
    path = save(tmp_path, "predrnn")
    words = ["models", "import", path, "--from", "predrnn-pytorch", "--name", "n", "--version", 1, "--out", tmp_path]
    result = CliRunner().invoke(cli, [str(word) for word in [*words, *steps]])
    assert result.exit_code == 2
    assert "--min-step and --max-step" in result.output


def test_without_pytorch_it_says_what_to_install(tmp_path):
    """In a process of its own, in which there is no torch."""
    script = "import sys; sys.modules['torch'] = None; from service.cli import main; main()"
    words = ["models", "import", "x.pth", *("--from", "openstl", "--name", "n", "--version", "1", "--out", tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words), "--step", "5"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == (
        "echocast: models import: the package torch is not installed. Install it with: pip install 'echocast[train]'\n"
    )
