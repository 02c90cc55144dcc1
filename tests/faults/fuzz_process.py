"""One process of coverage-guided fuzzing: `python -m tests.faults.fuzz_process READER FOLDER LIBFUZZER-OPTIONS`.

An exception that is no InputError is kept as a finding, once for each place that raises it, and so is an input whose
read takes much memory; fuzzing goes on. A crash of a library and a hang end the process, and libFuzzer keeps the input.
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["model", "PIL", "cf_xarray", "h5py", "zipfile"]):
    from model.core.errors import InputError
    from model.readers import read

from tests.faults.fuzz_inputs import TARGETS, mutated

MAX_PIXELS: Final = 4_000_000
"""Of one input: enough for every grid that a format prescribes but DWD's finest, and fast."""
MEMORY_MB: Final = 512
"""Of one read; 4 million pixels take 16 MB as rain rates."""


def main() -> None:
    """Fuzz until libFuzzer's own limits."""
    reader, folder = sys.argv[1], Path(sys.argv[2])
    target = TARGETS[reader]
    scratch = Path(tempfile.mkdtemp(prefix="echocast-fuzz-"))
    tempfile.tempdir = str(scratch)
    names = [target.name, *target.beside]
    paths = [scratch / f"upload-{number}" for number in range(len(names))]
    for path, content in zip(paths[1:], target.beside.values(), strict=True):
        path.write_bytes(content)

    def read_input(content: bytes) -> None:
        paths[0].write_bytes(content)
        before = _most_memory_mb()
        try:
            read(paths, names=names, max_pixels=MAX_PIXELS, isolated=True)
        except InputError:
            pass
        except Exception as error:
            keep_exception(content, error)
        if _most_memory_mb() > before + MEMORY_MB:
            (folder / f"memory-{_digest(content)}").write_bytes(content)

    def keep_exception(content: bytes, error: Exception) -> None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        path = folder / f"exception-{_digest(f'{type(error)}{last.filename}{last.lineno}'.encode())}"
        if not path.exists():
            path.write_bytes(content)
            path.with_suffix(".txt").write_text("".join(traceback.format_exception(error)))

    def mutator(content: bytes, most: int, seed: int) -> bytes:
        return mutated(content, most, seed, atheris.Mutate, head=target.head)

    arguments = [sys.argv[0], *sys.argv[3:]]
    atheris.Setup(arguments, read_input, custom_mutator=mutator, internal_libfuzzer=True)
    atheris.Fuzz()


def _most_memory_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
