"""How long the newest frame of a backlog waits for its run: `python -m benchmarks.speed.feed_backlog FOLDER`.

The files of FOLDER, radar frames whose names sort by time, are a feed's backlog: the first one was there before, the
others have arrived since. They are scanned in this process, without a broker, so that all of them are read in one scan.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from benchmarks.command_line import argument_parser
from service.settings import Settings
from workers.context import open_context
from workers.feeds.scan import scan


def measure(folder: Path, most: int) -> None:
    """Print when the newest frame's run was submitted, and when the last file was read (s)."""
    files = sorted(path for path in folder.iterdir() if path.is_file())[:most]
    with tempfile.TemporaryDirectory() as name:
        frames, data = Path(name, "frames"), Path(name, "data")
        frames.mkdir()
        data.mkdir()
        (data / "feeds.toml").write_text(
            f'[[feed]]\nname = "backlog"\nfolder = "{frames}"\nclock = "frames"\nmax_age = 1440\n'
        )
        settings = Settings(data_dir=data, broker_url=None, feed_settle_seconds=0.0, feed_scan_seconds=3600)
        context = open_context(settings)
        shutil.copy(files[0], frames)
        scan(context)  # also loads the readers' libraries
        for file in files[1:]:
            shutil.copy(file, frames)
        submitted: list[float] = []
        context.queue.enqueue = lambda *_: bool(submitted.append(time.monotonic())) or True  # type: ignore[method-assign]
        began = time.monotonic()
        scan(context)
        whole = time.monotonic() - began
        context.ledger.close()
    print(f"{len(submitted)} runs; the newest frame's after {submitted[0] - began:.2f} s, all after {whole:.2f} s")


def main() -> None:
    """Measure the backlog of a folder."""
    parser = argument_parser(__doc__)
    parser.add_argument("folder", type=Path, help="Radar frames whose names sort by time.")
    parser.add_argument("--most", type=int, default=25, help="The most files, from the first one on.")
    args = parser.parse_args()
    measure(args.folder, args.most)


if __name__ == "__main__":
    main()
