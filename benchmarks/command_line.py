"""Parsing the arguments of benchmarks, and running a part of one in a process of its own."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

Output = TypeVar("Output")


class ChildFailed(Exception):
    """A child process exited with an error; the text is its stderr."""

    def last_line(self) -> str:
        """Return the last line of stderr, which names the error of a Python program."""
        return (str(self).strip().splitlines() or ["no reason given"])[-1]


def argument_parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser whose description is the first line of a module's docstring."""
    return argparse.ArgumentParser(description=(doc or "").splitlines()[0])


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add the option `--threads`, 0 by default."""
    parser.add_argument("--threads", type=int, default=0, help="Threads of the CPU; 0: one for each core.")


def add_checkouts(parser: argparse.ArgumentParser, families: Sequence[str]) -> None:
    """Add an option for the folder of each family's official code; the default is an environment variable."""
    for family in families:
        variable = family.upper().replace("-", "_")
        text = f"A checkout of the official code of {family} (environment: {variable})."
        parser.add_argument(f"--{family}", type=Path, metavar="DIR", default=os.environ.get(variable), help=text)


def checkouts(args: argparse.Namespace, families: Sequence[str]) -> dict[str, Path]:
    """Return the folders that `add_checkouts` parsed, by family; without those that were not given."""
    folders = {family: getattr(args, family.replace("-", "_")) for family in families}
    return {family: folder for family, folder in folders.items() if folder}


def run_in_child(module: str, args: Sequence[object], *, threads: int = 0) -> Any:  # noqa: ANN401  (any JSON)
    """Run a module in a child process, and return the JSON on the last line of its stdout.

    Parameters
    ----------
    module : str
        Name of the module.
    args : sequence
        Command-line arguments.
    threads : int
        OMP_NUM_THREADS of the child process; 0 leaves the variable as it is.

    Raises
    ------
    ChildFailed
        The child process exited with an error.
    """
    command = [sys.executable, "-m", module, *map(str, args)]
    environment = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise ChildFailed(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def time_runs(run: Callable[[], Output], runs: int, *, warm_up: int = 1) -> tuple[list[float], Output]:
    """Return the seconds of each run after `warm_up` untimed ones, and the output of the last run."""
    for _ in range(warm_up):
        run()
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        output = run()
        seconds.append(time.perf_counter() - started)
    return seconds, output
