"""The single parts of the system as commands, for those who run each by itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import CommandFailed
from embedded.config import SANDBOX_PORT


def migrate() -> None:
    """Bring the database to the newest schema. Safe to repeat, and while the system runs."""
    import psycopg

    from cli import deployment
    from cli.output import out
    from store.migrate import MigrationError
    from store.migrate import migrate as apply

    url = deployment.find().settings.database_url.get_secret_value()
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
    """Run a worker: the workflows and their steps. Stops at SIGTERM when what it does is done."""
    _become("-m", "worker")


def api(
    host: Annotated[str, typer.Option(envvar="BABYSEA_API_HOST", help="Address to bind to.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="BABYSEA_API_PORT", help="Port to bind to.")] = 8080,
) -> None:
    """Run the HTTP API."""
    _become(
        *("-m", "uvicorn", "api.app:create_app", "--factory", "--host", host, "--port", str(port)),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log"),
    )


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
