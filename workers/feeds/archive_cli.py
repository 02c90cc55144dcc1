"""`echocast feeds archive`: the frames of a feed as an archive for training."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("name")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--today", is_flag=True, help="Also the newest day, of which more frames will come.")
@click.option("--source", help="Origin of the frames, an attribute of a new archive.")
@click.option("--licence", help="Licence of the frames, an attribute of a new archive.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of all state (ECHOCAST_DATA_DIR).")
def archive(name: str, out: Path, today: bool, source: str | None, licence: str | None, data_dir: Path | None) -> None:
    """Add the frames that came in to the archive OUT, for training: the complete days that it does not have."""
    from model.core.progress import ProgressBar
    from service.feeds.feeds_file import read_feeds
    from service.settings import load_settings
    from workers.context import open_context
    from workers.feeds.archive import archive_frames, frames_to_archive
    from workers.feeds.cli import named

    settings = load_settings(data_dir=data_dir)
    [feed] = named(read_feeds(settings.feeds_path, check_folders=False), [name], settings.feeds_path)
    attributes = {key: value for key, value in (("source", source), ("licence", licence)) if value is not None}
    context = open_context(settings)
    try:
        frames = frames_to_archive(feed, context, out, unfinished_day=today)
        with ProgressBar("frames", len(frames)) as bar:
            counts = archive_frames(feed, frames, context, out, attributes=attributes, on_frame=bar.advance)
    finally:
        context.ledger.close()
    others = f", {counts.other_grid} left out, as they are on another grid" if counts.other_grid else ""
    click.echo(f"{out}: {counts.written} frames written{others}")
