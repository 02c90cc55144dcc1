"""Fuzz the readers of radar files by coverage, and replay what is found through the real upload.

`python -m tests.faults.fuzz_readers [--reader NAME] [--seconds 600] [--keep FOLDER]` needs the extra `fuzz`. For each
reader it runs `fuzz_process` until the time is over, again after every input that ends it, and reports runs, coverage
and findings: an exception that is no InputError, a crash of a library, a hang, memory beyond the limit. The inputs of
the findings are then uploaded to an `echocast serve` of its own: each must end as a problem of its job alone, or the
command exits with 1. It exits with 1 after exceptions, too, which no sandbox must catch.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from tests.faults.fuzz_inputs import TARGETS, seeds_of
from tests.faults.hostile_files import HostileFile
from tests.faults.run_hostile_files import run

HANG_SECONDS: Final = 20
BYTES_OF_A_PROCESS: Final = 3 << 30
"""A process fuzzes so many bytes, and then the next one starts: Atheris keeps part of what its mutations return."""
MAX_BYTES: Final = 1 << 20
RESTART_SECONDS: Final = 3
RUNS: Final = re.compile(r"^#(\d+)\s.*?cov: (\d+)", re.MULTILINE)
FINDINGS: Final = ("exception", "crash", "timeout", "memory")


class Fuzzed(NamedTuple):
    """What fuzzing one reader came to: inputs read, edges of Python code covered, inputs kept, findings by kind.

    `seconds` are those on the clock, `processor_seconds` those that the fuzzing processes had.
    """

    reader: str
    seconds: float
    processor_seconds: float
    runs: int
    coverage: tuple[int, int]
    corpus: int
    findings: dict[str, list[Path]]


def fuzz(reader: str, seconds: float, folder: Path, seed: int = 1) -> Fuzzed:
    """Fuzz one reader; its inputs and findings go to `folder`."""
    corpus, found = folder / "corpus", folder / "found"
    for each in (corpus, found):
        each.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(seeds_of(TARGETS[reader])):
        (corpus / f"seed-{number:04}").write_bytes(content)
    runs_of_process = BYTES_OF_A_PROCESS // max(path.stat().st_size for path in corpus.iterdir())
    started, used, runs, first, last = time.monotonic(), _processor_seconds(), 0, 0, 0
    while (left := seconds - (time.monotonic() - started)) > RESTART_SECONDS:
        log = _run(reader, folder, [f"-max_total_time={int(left)}", f"-runs={runs_of_process}", f"-seed={seed}"])
        seed += 1
        lines = [(int(run), int(cov)) for run, cov in RUNS.findall(log)]
        if not lines:
            raise RuntimeError(f"fuzzing {reader} did not start: {log[-3000:]}")
        executed = re.search(r"stat::number_of_executed_units: (\d+)", log)
        runs += int(executed[1]) if executed else lines[-1][0]
        first = first or lines[0][1]
        last = max(last, lines[-1][1])
    findings = {kind: sorted(p for p in found.glob(f"{kind}-*") if p.suffix != ".txt") for kind in FINDINGS}
    elapsed, used = time.monotonic() - started, _processor_seconds() - used
    return Fuzzed(reader, elapsed, used, runs, (first, last), len(list(corpus.iterdir())), findings)


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _run(reader: str, folder: Path, limits: list[str]) -> str:
    """Run one process of fuzzing to its end, and return its log."""
    with tempfile.TemporaryDirectory(prefix="echocast-fuzz-", dir=_memory()) as scratch:
        command = [
            *(sys.executable, "-m", "tests.faults.fuzz_process", reader, str(folder / "found"), str(folder / "corpus")),
            *(*limits, f"-max_len={MAX_BYTES}", f"-timeout={HANG_SECONDS}", "-rss_limit_mb=0"),
            *(f"-artifact_prefix={folder / 'found'}/", "-print_final_stats=1", "-close_fd_mask=3", "-reload=0"),
        ]
        environment = {**os.environ, "TMPDIR": scratch, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.stdout.decode(errors="replace")


def _memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def replayed(fuzzed: list[Fuzzed], folder: Path) -> list[str]:
    """Upload the inputs of all findings to a service; return what was not a problem of its job alone."""
    files = [
        HostileFile(f"{each.reader}: {path.name}", TARGETS[each.reader].name, partial(Path.read_bytes, path))
        for each in fuzzed
        for paths in each.findings.values()
        for path in paths
    ]
    if not files:
        return []
    report = run(files, folder, hangs=True)
    for (status, code), count in sorted(Counter((e.status, e.code) for e in report.endings).items()):
        print(f"{count:5} uploads of findings ended as {status} {code}")
    print(f"memory of the worker and its fork server: {report.before} MB before, {report.after} MB after")
    return report.faults


def _line(each: Fuzzed) -> str:
    counts = ", ".join(f"{len(paths)} {kind}" for kind, paths in each.findings.items() if paths)
    return (
        f"{each.reader:11} {each.seconds:5.0f} s ({each.processor_seconds:.0f} s of a core) {each.runs:9} runs, "
        f"coverage {each.coverage[0]} -> {each.coverage[1]}, {each.corpus} inputs kept, findings: {counts or 'none'}"
    )


def main() -> int:
    """Fuzz one reader, or all in turn."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--reader", action="append", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=float, default=600, help="for each reader")
    parser.add_argument("--keep", type=Path, help="a folder for corpus and findings, from which the next run starts")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="echocast-fuzz-"))
    fuzzed = []
    try:
        for reader in options.reader or TARGETS:
            each = fuzz(reader, options.seconds, folder / reader)
            fuzzed.append(each)
            print(_line(each), flush=True)
            for path in each.findings["exception"]:
                print(path.with_suffix(".txt").read_text(), flush=True)
        (folder / "service").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as service:
            faults = replayed(fuzzed, Path(service))
    finally:
        if options.keep is None:
            shutil.rmtree(folder)
    print(f"{len(faults)} faults", *faults, sep="\n  ")
    return bool(faults or any(each.findings["exception"] for each in fuzzed))


if __name__ == "__main__":
    sys.exit(main())
