"""The single parts of the system as commands, for those who run each by itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.deployment import DataOption, find, settings_of_environment
from cli.errors import CommandFailed
from cli.output import out
from embedded.config import DATA_DEFAULT, SANDBOX_PORT


def migrate(data: DataOption = DATA_DEFAULT) -> None:
    """Bring the database to the newest schema. Safe to repeat, and while the system runs."""
    import psycopg

    from store.migrate import MigrationError
    from store.migrate import migrate as apply

    url = find(data).settings.database_url.get_secret_value()
    try:
        applied = apply(url)
    except MigrationError as error:
        raise CommandFailed(f"The schema cannot be migrated: {error}.") from error
    except psycopg.OperationalError as error:
        raise CommandFailed(f"The database does not answer: {str(error).splitlines()[0]}") from error
    for name in applied:
        out.print(f"applied {name}")
    out.print("The schema is up to date.")


def worker() -> None:
    """Run a worker: the workflows and their steps. Stops at SIGTERM when what it does is done.

    Its settings are BABYSEA_* variables; .env.example lists them.
    """
    settings_of_environment()  # what is wrong with them is said here, not in a traceback of the program
    _become("-m", "worker")


def api(
    host: Annotated[str | None, typer.Option(help="Address to bind to; BABYSEA_API_HOST by default.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to bind to; BABYSEA_API_PORT by default.")] = None,
) -> None:
    """Run the HTTP API.

    Its settings are BABYSEA_* variables; .env.example lists them.
    """
    settings = settings_of_environment()
    port = settings.api_port if port is None else port
    _become("-m", "api", "--host", host or settings.api_host, "--port", str(port))


def sandbox(
    port: Annotated[int, typer.Option(envvar=SANDBOX_PORT.variable, help="Port on 127.0.0.1.")] = SANDBOX_PORT.default,
    data: Annotated[Path, typer.Option(help="File that keeps its jobs.")] = Path("sandbox.db"),
    latency_scale: Annotated[float, typer.Option(help="1: realistic; 0: everything at once.")] = 1.0,
) -> None:
    """Run the simulated providers."""
    _become("-m", "sandbox", "--port", str(port), "--data", str(data), "--latency-scale", str(latency_scale))


def _become(*arguments: str) -> None:
    """Turn this process into the program, so that signals reach it directly."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606
