"""The fork server: a process with every reader's libraries loaded, from which each read is forked.

`python -m workers.sandbox.server SOCKET` runs it. It has no credentials in its environment. For each read it receives
one byte and the descriptor of the file that the read shares with its caller (`workers.sandbox.layout`), and returns the
exit status of the read's process and the most memory that it took. Both end when the caller ends.
"""

from __future__ import annotations

import ctypes
import gc
import os
import selectors
import signal
import socket
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
from pyproj import CRS

from model.core.errors import InputError, TooLarge
from model.core.forecast_file import write_netcdf
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from model.readers import read
from workers.process_privacy import close_process
from workers.sandbox import layout
from workers.sandbox.confinement import Confinement, missing_parts

PRELOADED: Final = ("h5py", "netCDF4", "cftime", "PIL.PngImagePlugin", "eccodes", "rasterio", "zipfile", "zlib", "bz2")
PR_SET_PDEATHSIG: Final = 1
MEBIBYTE: Final = 1 << 20


def main() -> None:
    """Serve reads until the caller closes its end of the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the caller decides when to end
    connection = socket.socket(fileno=int(sys.argv[1]))
    _load_libraries()
    missing = missing_parts()
    if "Landlock" in missing:
        close_process()  # its reads belong to different clients, and could change it
    gc.collect()
    gc.freeze()  # the collector of a forked process leaves these pages shared
    with suppress(ConnectionError):
        connection.sendall((",".join(missing) + "\n").encode())
        while True:
            byte, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
            if not byte or not descriptors:
                break
            connection.sendall(layout.REPLY.pack(*_read_in_child(connection, descriptors[0], missing)))
            os.close(descriptors[0])
    os._exit(0)  # skips the clean-up of libraries at exit, which is where they crash


def _load_libraries() -> None:
    """Import what readers import when they need it, and read a small file, which fills caches and imports the rest."""
    for name in PRELOADED:
        try:
            __import__(name)
        except ImportError:
            continue  # an extra that is not installed: its reader reports it
    grid = Grid.regular(CRS.from_epsg(3035), shape=(2, 2), pixel_size=1000.0, centre=(4e6, 3e6))
    rain_rate, times = np.zeros((1, 2, 2), np.float32), np.array(["2020-01-01"], "datetime64[ns]")
    with tempfile.TemporaryDirectory(prefix="echocast-read-") as folder:
        path = Path(folder, "frame.nc")
        write_netcdf(FrameSequence(rain_rate=rain_rate, times=times, grid=grid), path)
        read([path], names=[path.name])


def _read_in_child(connection: socket.socket, descriptor: int, missing: list[str]) -> tuple[int, int]:
    """Fork a read and wait for its end; kill it where the caller ends first."""
    alive, held = os.pipe()
    child = os.fork()
    if not child:
        code = 70
        try:
            connection.close()
            os.close(alive)
            _die_with_parent()
            code = _answer(descriptor, missing)
        finally:
            os._exit(code)
    os.close(held)
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        selector.register(alive, selectors.EVENT_READ)
        if any(key.fileobj is connection for key, _ in selector.select()):
            os.kill(child, signal.SIGKILL)  # nothing is sent during a read: the caller is gone
    os.close(alive)
    _, status, usage = os.wait4(child, 0)
    return status, usage.ru_maxrss * 1024


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _answer(descriptor: int, missing: list[str]) -> int:
    """Read the files of the request under its limits, and write the answer; return the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries print what they find in files of strangers
    request, _ = layout.read_text(descriptor)
    options: dict[str, Any] = request["options"]
    paths = [Path(path) for path in request["paths"]]
    tempfile.tempdir = request["scratch"]
    try:
        Confinement(
            memory_bytes=request["memory_mb"] * MEBIBYTE,
            seconds=request["seconds"],
            file_bytes=request["file_bytes"],
            read=[*paths, *map(Path, request["companions"])],
            write=Path(request["scratch"]),
        ).apply(missing)
        layout.write_frames(descriptor, read(paths, isolated=True, **options))
    except InputError as error:
        layout.write_problem(descriptor, error)
    except MemoryError:
        layout.write_problem(descriptor, TooLarge("too little memory to read the files", hint="Give less at once"))
    except Exception:
        layout.write_failure(descriptor, traceback.format_exc())
    return 0


if __name__ == "__main__":
    main()
