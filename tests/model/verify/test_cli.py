"""`echocast verify` as a user runs it: tables, JSON, the page; and what bad input gets."""

import json
import shutil
import subprocess
import sys
from html import escape

import numpy as np
import pytest
from click.testing import CliRunner

from model.core.errors import InputError, MissingDependency
from model.data.archive import Archive
from model.data.archive_paths import frame_path
from model.data.archive_writer import ArchiveWriter
from model.data.synthetic_storms import synthesise
from model.export.card import _means
from model.verify.cli import verify as command
from model.verify.json_output import common_protocol, json_output
from model.verify.protocols import NOWCAST_60
from model.verify.run import verify


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Two hours of storms at 10 min, three times, with three hours between them, over midnight."""
    storms = synthesise(frames=36, shape=(96, 112), step_minutes=10.0, seed=5)
    root = tmp_path_factory.mktemp("verify") / "storms"
    with ArchiveWriter(root, storms.grid, 10.0, {"source": "synthetic <storms>"}) as writer:
        for index, (time, rain) in enumerate(zip(storms.times, storms.rain_rate, strict=True)):
            writer.append(time + np.timedelta64(3 * (index // 12), "h"), rain)
    return root


def run(*words, columns=80):
    return CliRunner(env={"COLUMNS": str(columns)}).invoke(command, [str(word) for word in words])


def test_tables_fit_80_columns_and_hold_the_scores(archive):
    verification = verify(Archive(archive), [], NOWCAST_60)
    result = run("--archive", archive)
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    mean = np.nanmean(verification.csi("extrapolation@1")[0])
    row = next(line for line in result.stdout.splitlines() if "extrapolation@1" in line)
    assert f"{mean:.3f}" in row
    assert "…" not in result.stdout


def test_json_holds_the_scores_of_the_verification(archive):
    result = run("persistence", "--archive", archive, "--json")
    output = json.loads(result.stdout)
    assert list(output["models"]) == ["persistence@1", "extrapolation@1"]
    assert output["protocol"] == "nowcast-60@1"
    assert (output["lead_minutes"], output["fss_windows_px"][0]) == ([10.0, 20.0, 30.0, 40.0, 50.0, 60.0], 1)
    assert output["archive_digest"] == Archive(archive).digest()
    scores = output["models"]["extrapolation@1"]
    for name in ("csi", "hss", "pod", "far", "bias"):
        assert np.shape(scores[name]) == (4, 6)
        assert np.shape(scores[f"{name}_interval"]) == (2, 4, 6)
    low, mean, high = (scores["csi_mean"][name][0] for name in ("low", "value", "high"))
    assert low <= mean <= high
    assert output["models"]["persistence@1"]["csi_ratio"]["extrapolation@1"]["value"][0] < 1
    assert list(scores["spectrum"]) == ["30", "60"]
    assert scores["reliability"]["observed"][0][-1] > scores["reliability"]["observed"][0][0]
    assert scores["ssim"][0] is None
    assert 0 < scores["ssim"][2] < 1


def test_too_few_blocks_of_time_give_no_interval(archive, tmp_path):
    shutil.copytree(archive, tmp_path / "short")
    for time in Archive(archive).times[12:]:
        frame_path(tmp_path / "short", time).unlink()
    result = run("--archive", tmp_path / "short", "--report", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    assert (
        "95 % intervals: none, too few blocks to resample: 1 block of 3 hours, because the start times cover only 1 day"
        in text
    )
    output = json.loads((tmp_path / "page.json").read_text())
    scores = output["models"]["persistence@1"]
    assert scores["csi_mean"]["low"] == scores["csi_mean"]["high"] == [None] * 4
    assert scores["csi_ratio"]["extrapolation@1"]["low"] == [None] * 4
    csi = f"{scores['csi_mean']['value'][0]:.3f}"
    lines = result.stdout.splitlines()
    row = next(index for index, line in enumerate(lines) if "persistence@1" in line)
    assert csi in lines[row]
    assert lines[row + 1].split() == ["│", "│", "-", "│", "-", "│", "-", "│", "-", "│"]
    assert f"{csi}<br><small>-</small>" in (tmp_path / "page.html").read_text()
    assert any(line.startswith(f"| persistence@1 | {csi} | ") for line in _means(output))


def test_several_archives_have_tables_of_their_own(archive):
    outputs = json.loads(run("--archive", archive, "--archive", archive, "--json").stdout)
    assert [output["archive"] for output in outputs] == ["storms", "storms"]


def test_the_page_is_self_contained(archive, tmp_path):
    result = run("--archive", archive, "--report", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "out/verification.html").read_text()
    assert json.loads((tmp_path / "out/verification.json").read_text()) == json.loads(result.stdout)
    assert "synthetic &lt;storms&gt;" in page
    assert escape(NOWCAST_60.description) in page
    assert json.loads(result.stdout)["archive_digest"] in page
    assert page.count("<svg") == 5
    assert page.count("data:image/png;base64,") == 6  # truth and two models, at 30 and 60 min
    # The page fetches nothing: every URL is a data URL or the name of a standard.
    assert 'src="http' not in page
    assert "<link" not in page
    assert "<script" not in page


def test_a_page_that_cannot_be_written_is_an_error(archive, tmp_path):
    (tmp_path / "file").write_text("")
    result = run("--archive", archive, "--report", tmp_path / "file" / "out")
    assert isinstance(result.exception, InputError)
    assert "Choose a folder that you may write to" in str(result.exception)


def test_a_damaged_frame_leaves_its_start_times_out_and_is_named(archive, tmp_path):
    shutil.copytree(archive, tmp_path / "damaged")
    whole = verify(Archive(archive), [], NOWCAST_60)
    times = Archive(archive).times
    path = frame_path(tmp_path / "damaged", times[4])
    path.write_bytes(path.read_bytes()[:60])
    result = run("--archive", tmp_path / "damaged", "--json")
    assert result.exit_code == 0, result.output
    output = json.loads(result.stdout)
    assert 0 < output["starts"] < whole.starts
    assert output["starts"] + len(output["starts_left_out"]) == whole.starts
    assert path.name in result.stderr


def test_a_split_of_an_archive_without_splits_is_an_error(archive):
    result = run("--archive", archive, "--split", "test")
    assert isinstance(result.exception, InputError)
    assert "echocast archive split" in str(result.exception)


def test_memory_does_not_grow_with_start_times(archive):
    verification = verify(Archive(archive), [], NOWCAST_60)
    assert verification.blocks < verification.starts
    for sums in verification.sums.values():
        resampled = {name for name, values in sums.items() if values.shape[0] == verification.blocks}
        assert resampled == {"joint_histogram", "fss"}  # a day adds no memory for the sums without an interval
        assert all(values.shape[0] == 1 for name, values in sums.items() if name not in resampled)
        assert sums["sequences"][0, 0] == verification.starts


def test_csi_difference_is_paired_and_signed(archive):
    verification = verify(Archive(archive), [], NOWCAST_60)
    whole = verification.csi_difference("extrapolation@1", "persistence@1", 0.5)
    back = verification.csi_difference("persistence@1", "extrapolation@1", 0.5)
    at_30 = verification.csi_difference("extrapolation@1", "persistence@1", 0.5, 30.0)
    assert 0 < whole.low <= whole.value <= whole.high
    assert (back.low, back.value, back.high) == pytest.approx((-whole.high, -whole.value, -whole.low))
    assert at_30.value == pytest.approx(
        verification.csi("extrapolation@1")[0, 2] - verification.csi("persistence@1")[0, 2]
    )
    nothing = verification.csi_difference("extrapolation@1", "extrapolation@1", 0.5)
    assert (nothing.low, nothing.value, nothing.high) == (0, 0, 0)


def test_a_table_never_mixes_two_protocols():
    outputs = [{"protocol": "nowcast-60@1"}, {"protocol": "hko7-fixed@1"}]
    with pytest.raises(InputError, match="must not mix scores of different protocols: hko7-fixed@1, nowcast-60@1"):
        common_protocol(outputs)


def test_the_card_has_means_with_intervals_and_ratios(archive):
    output = json_output(verify(Archive(archive), [], NOWCAST_60))
    output["models"]["mine@1"] = {**output["models"]["persistence@1"], "weights_sha256": "0" * 64}
    lines = list(_means(output))
    extrapolation = output["models"]["extrapolation@1"]["csi_mean"]
    cell = "{:.3f} ({:.3f} to {:.3f})".format(*(extrapolation[name][0] for name in ("value", "low", "high")))
    assert any(line.startswith("| extrapolation@1 | " + cell) for line in lines)
    assert any(line.startswith("| mine@1 / extrapolation@1 | ") for line in lines)
    assert not any(line.startswith("| persistence@1 / ") for line in lines)


def test_pysteps_runs_in_a_process_of_its_own(archive):
    pytest.importorskip("pysteps", reason="pysteps is not installed")
    from model.runtime.nowcast import nowcast
    from model.verify.lucas_kanade import LucasKanade
    from model.verify.masking import CommonMasking

    storms = Archive(archive)
    sequence = CommonMasking().read_context(storms, storms.times[:4])
    forecast = nowcast(sequence, LucasKanade(), 3).rain_rate
    truth = storms.read(storms.times[4])
    assert forecast.shape == (3, 96, 112)
    known = np.isfinite(forecast[0])
    # The forecast is closer to the next frame than the newest frame is.
    assert np.abs(forecast[0] - truth)[known].mean() < np.abs(sequence.rain_rate[-1] - truth)[known].mean()


def test_missing_pysteps_is_an_error(monkeypatch):
    from importlib.metadata import PackageNotFoundError

    from model.verify import lucas_kanade, pysteps_process, steps

    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(pysteps_process, "distribution_version", absent)
    with pytest.raises(MissingDependency, match="pip install pysteps"):
        lucas_kanade.LucasKanade()
    with pytest.raises(MissingDependency, match="pip install pysteps"):
        steps.Steps()


def test_verification_needs_no_torch():
    code = "import sys, model.verify.cli, model.verify.run; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
