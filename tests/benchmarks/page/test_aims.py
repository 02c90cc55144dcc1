"""The table of aims and docs/performance.md: rows with their date and machine; parts that do not run stay."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import __main__ as bench
from benchmarks.page import results
from benchmarks.page.aims import aims, markdown, shipped
from benchmarks.page.markdown import part_of
from benchmarks.page.results import AimRow
from benchmarks.speed.inference import CASES
from benchmarks.speed.other_processes import OtherProcesses
from model.bench.machine import describe_machine

NETWORK = {
    "gflop": 100.0,
    "official": {"seconds": 6.0, "mb": 500.0, "times": 1.0},
    "fp32": {"seconds": 4.0, "mb": 400.0, "times": 1.5},
    "int8": {"seconds": 1.5, "mb": 200.0, "times": 4.0},
}
SLOW = {**NETWORK, "int8": {"seconds": 5.0, "mb": 200.0, "times": 1.2}}


@pytest.fixture
def inference(tmp_path):
    def write(**networks):
        machine = {"date": "2026-01-02", "processor": "Old", "cores": 4, "peak": {"fp32": 50.0, "int8": 100.0}}
        path = tmp_path / "inference.json"
        path.write_text(json.dumps({"networks": networks, "machine": machine}))
        return path

    return write


def row(what="nowcast", reached=1.2):
    return AimRow(what=what, against="pysteps", aim="faster", measured=f"{reached} x", reached=reached)


def tiles_of(reference):
    """Return a part as `benchmarks.speed.tiles` stores it."""
    rows = results.as_json([row("continent")])
    return {"machine": describe_machine(), "reference": reference, "variant": "int8 on CPU", "rows": rows}


def test_parts_without_figures_are_marked_as_not_measured(tmp_path):
    rows = aims({}, tmp_path / "none.json")
    assert len(rows) == 9
    assert {dated.row.measured for dated in rows} == {"not measured"}
    assert {dated.row.met for dated in rows} == {""}


def test_the_slowest_network_decides_and_networks_below_the_aim_are_named(inference):
    one, every = (dated.row for dated in aims({}, inference(**{"ms-predrnn": NETWORK, "mim": SLOW}))[:2])
    assert one.met == "yes"
    assert every.met == "no"
    assert "below 2 x: mim 1.50 x" in every.measured
    for row in (one, every):
        assert row.measured.endswith("(int8: every convolution in 8 bits, random weights, judged by no gate of CSI)")
    assert "8 bits" not in aims({}, inference(mim=SLOW))[1].row.measured  # float32 counts there
    some, every = (aims({}, inference(**dict.fromkeys(names, NETWORK)))[1].row for names in (["mim"], CASES))
    assert (some.met, every.met) == ("", "yes")
    bad = {**NETWORK, "int8": {**NETWORK["int8"], "mb": 300.0}}
    assert aims({}, inference(**{"ms-predrnn": bad}))[0].row.met == "no"  # more than half the memory


def test_a_part_keeps_its_date_and_machine_when_another_is_measured(tmp_path):
    figures = tmp_path / "performance.json"
    other = {"date": "2026-01-01", "processor": "Far away", "cores": 64, "memory_gb": 512.0, "accelerator": "One H200"}
    figures.write_text(json.dumps({"gpu": {"machine": other, "rows": results.as_json([row("GPU"), row("GPU too")])}}))
    measured = [{"name": "rain-ms-predrnn", "reference": shipped()}]
    parts = results.store("nowcast", {"measured": measured, "rows": results.as_json([row(), row("dry", 0.5)])}, figures)
    rows = aims(parts, tmp_path / "none.json")
    dated = {each.row.what: each for each in rows}
    assert dated["GPU"].date == "2026-01-01"
    assert dated["GPU"].machine.startswith("Far away, 64 cores")
    assert dated["nowcast"].machine != dated["GPU"].machine
    text = markdown(rows)
    assert "1. " in text
    assert "2. Far away, 64 cores, 512.0 GB, One H200" in text or "1. Far away" in text
    assert [dated[name].row.met for name in ("nowcast", "dry")] == ["yes", "no"]


def test_the_page_is_rewritten_between_its_markers_and_the_plots_are_not_blank(tmp_path, monkeypatch, inference):
    page = tmp_path / "docs" / "performance.md"
    (page.parent / "images").mkdir(parents=True)
    page.write_text(
        "# Ours\n<!-- begin aims -->\nold\n<!-- end aims -->\n<!-- begin peak -->\n<!-- end peak -->\nend\n"
    )
    monkeypatch.setattr(bench, "TEXTS", {"peak": bench.peak.page})
    figures = tmp_path / "performance.json"
    parts = results.store("peak", {"device": "cpu", "gflops": {"fp32": 200.0, "bf16": None}}, figures)
    found = bench.rates_of(parts, inference(**{"ms-predrnn": NETWORK}))
    assert [rate.gflops for rate in found] == pytest.approx([100 / 6, 25, 100 / 1.5])
    assert [rate.peak for rate in found] == [50.0, 50.0, 100.0]
    bench.plot_rates(found, page.parent / "images" / "performance-roofline.png")
    bench.rewrite(parts, aims(parts, inference(**{"ms-predrnn": NETWORK})), page)
    text = page.read_text()
    assert text.startswith("# Ours\n")
    assert text.endswith("end\n")
    assert "old" not in text
    assert "| fp32 | 200 |" in part_of("peak", page)
    for name in ("aims", "roofline"):
        with Image.open(page.parent / "images" / f"performance-{name}.png") as picture:
            assert len(picture.convert("L").getcolors()) > 10


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="no /proc/stat on this system")
def test_the_load_of_other_processes_excludes_our_own():
    others = OtherProcesses()
    busy = [sys.executable, "-c", "import time; end = time.process_time() + 0.5\nwhile time.process_time() < end: pass"]
    subprocess.run(busy, check=True)
    taken = others.cores() * others.seconds()
    stranger = subprocess.Popen(busy)
    while (state := Path(f"/proc/{stranger.pid}/stat").read_text().rpartition(") ")[2][0]) != "Z":
        assert state in "RSD"
        time.sleep(0.02)
    assert others.cores() * others.seconds() > taken + 0.3  # it has ended and is not reaped
    stranger.wait()
    parts = {"tiles": {**tiles_of(shipped()), "others_cores": 1.5}}
    assert aims(parts)[-1].row.measured.endswith("other processes kept 1.5 cores busy: measure again)")
    parts["tiles"]["others_cores"] = 0.02
    assert "other processes" not in aims(parts)[-1].row.measured
    assert "other processes kept 1.5 cores busy" in results.measured_on(
        {"machine": describe_machine(), "others_cores": 1.5}
    )


def test_a_row_names_its_package_and_meets_no_aim_unless_that_is_shipped(tmp_path):
    rows = results.as_json([row("one client"), row("32 clients", 0.5)])
    engine = {"reference": "rain-ms-predrnn@0.9", "variant": "fp32 on CPU"}
    measured = [{"name": "rain-ms-predrnn fp32", "reference": "rain-ms-predrnn@0.9"}]
    parts = {
        "nowcast": {"machine": describe_machine(), "measured": measured, "rows": results.as_json([row(), row("dry")])},
        "service": {"machine": describe_machine(), "engine": engine, "rows": rows},
        "tiles": tiles_of(shipped()),
    }
    found = {dated.row.what: dated.row for dated in aims(parts, tmp_path / "none.json")}
    for what in ("one client", "32 clients"):
        assert found[what].measured.startswith("not the shipped version, rain-ms-predrnn@0.9 as fp32 on CPU: ")
        assert found[what].met == ""
    assert found["nowcast"].measured.startswith("not the shipped version, rain-ms-predrnn@0.9: ")
    assert found["continent"].measured == f"{shipped()} as int8 on CPU: 1.2 x"
    assert found["continent"].met == "yes"
    cells = [line.split(" | ") for line in markdown(aims(parts, tmp_path / "none.json")).splitlines()]
    assert next(line for line in cells if line[0] == "| 32 clients")[4] == "-"


def test_options_are_passed_to_the_parts(monkeypatch):
    options_of = {}

    def run(command, **kwargs):
        options_of[command[2]] = command[3:]
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(bench.subprocess, "run", run)
    monkeypatch.setattr(bench, "rewrite", lambda *parts: None)
    monkeypatch.setattr("sys.argv", ["benchmarks", "inference", "peak", "--pairs", "1", "--ms-rnn", "there"])
    for family in bench.FAMILIES:
        monkeypatch.delenv(family.upper().replace("-", "_"), raising=False)
    bench.main()
    assert options_of == {
        "benchmarks.speed.inference": ["--pairs", "1", "--ms-rnn", "there"],
        "benchmarks.speed.peak": [],
    }


def test_every_part_has_its_place_on_the_page(project):
    text = (project / "docs" / "performance.md").read_text()
    for part in ("aims", "inference", *bench.TEXTS):
        assert f"<!-- begin {part} -->" in text
        assert f"<!-- end {part} -->" in text
        assert f"python -m benchmarks.speed.{part}" in text or part == "aims"
