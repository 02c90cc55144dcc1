"""The command `echocast`: a table of sub-commands, each imported on use.

Exit codes: 0 done, 2 wrong usage or bad input (one line on stderr: what, where, a hint), 1 our failure.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Final

import click

COMMANDS: Final[Mapping[str, str]] = {
    "serve": "service.commands:serve",
    "worker": "workers.cli:worker",
    "beat": "workers.cli:beat",
    "nowcast": "model.commands:nowcast",
    "archive": "model.data.cli:archive",
    "train": "model.train.cli:train",
    "verify": "model.verify.cli:verify",
    "export": "model.export.cli:export",
    "analyze": "model.analyze.cli:analyze",
    "models": "model.registry.cli:models",
    "feeds": "workers.feeds.cli:feeds",
    "keys": "service.key_commands:keys",
    "bench": "model.bench.cli:bench",
    "doctor": "service.doctor.cli:doctor",
}


class LazyGroup(click.Group):
    """A group whose commands are named as `module:attribute` and imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; return a stand-in where a package that it needs is not installed."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].split(":")
        try:
            command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing in ("model", "service", "workers"):
                raise
            return _not_installed(cmd_name, missing)
        if not isinstance(command, click.Command):
            raise TypeError(f"{COMMANDS[cmd_name]} is not a command")
        return command


def _not_installed(command: str, package: str) -> click.Command:
    """Return a command that stands in for one whose package is missing, so that `echocast --help` lists them all."""
    from model.core.extras import missing_dependency

    error = missing_dependency(package, where=command)

    @click.command(
        name=command,
        help=f"Not installed: needs {package}.",
        context_settings={"ignore_unknown_options": True, "help_option_names": []},
    )
    @click.argument("rest", nargs=-1, type=click.UNPROCESSED)
    def stand_in(rest: tuple[str, ...]) -> None:
        raise error

    return stand_in


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="echocast")
def cli() -> None:
    """Precipitation nowcasting: radar echo sequences in, rain for the next hour out."""


def main() -> None:
    """Run `echocast`; every error becomes one line and an exit code. ECHOCAST_DEBUG=1 shows the traceback."""
    from model.core.errors import InputError

    # Child processes (worker, multiprocessing, decoders) must not import a model.py or random.py of the current folder.
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except click.ClickException as error:
        click.echo(f"echocast: {error.format_message()}", err=True)
        sys.exit(2)
    except InputError as error:
        click.echo(f"echocast: {error}", err=True)
        sys.exit(2)
    except Exception as error:
        if os.environ.get("ECHOCAST_DEBUG"):
            raise
        click.echo(f"echocast: {type(error).__name__}: {error} (ECHOCAST_DEBUG=1 shows where)", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
