"""Which system a command speaks to: the embedded stack that runs here, or the one that BABYSEA_* settings name."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from cli.errors import CommandFailed
from embedded import running
from embedded.config import DATA_DEFAULT, DATA_VARIABLE

if TYPE_CHECKING:  # the rest of the system is loaded by the commands that need it: help and mistakes come at once
    from pydantic_core import ErrorDetails

    from settings import Settings
    from store.connection import Pool

DataOption = Annotated[
    Path, typer.Option("--data", envvar=DATA_VARIABLE, help="Folder of the embedded stack.", show_default=True)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

T = TypeVar("T")


@dataclass(frozen=True)
class Deployment:
    settings: Settings
    stack: running.RunningStack | None = None  # the embedded stack, when it is one

    @property
    def api_url(self) -> str:
        return self.stack.config.api_url if self.stack else self.settings.public_url

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Pool]:
        """Raises DatabaseUnavailable."""
        from store.connection import open_pool

        pool = await open_pool(self.settings.database_url.get_secret_value(), size_max=4)
        try:
            yield pool
        finally:
            await pool.close()


def find(data: Path = DATA_DEFAULT) -> Deployment:
    """BABYSEA_DATABASE_URL in the environment decides; else the stack running on `data`; else an `.env` file.

    Raises CommandFailed when none of them says where the system is.
    """
    if "BABYSEA_DATABASE_URL" not in os.environ and (stack := running.find(data)) is not None:
        return of_stack(stack)
    try:
        return Deployment(settings_of_environment())
    except SettingsRefused as refused:
        raise SettingsRefused(
            f"No embedded stack runs on {data}, and the settings do not name another system.\n{refused}\n"
            "Start one with `make run` (or `babysea up`), or set what .env.example lists."
        ) from None


def of_stack(stack: running.RunningStack) -> Deployment:
    return Deployment(settings_of(stack.settings_environment()), stack)


def settings_of(environment: Mapping[str, str]) -> Settings:
    """What a stack gives to its own processes, read as they read it, without an `.env` file."""
    from adapters.providers import registry
    from settings import Settings

    given = {name.removeprefix("BABYSEA_").lower(): value for name, value in environment.items()}
    providers = registry.settings_from(environment)
    return Settings(_env_file=None, providers=providers, **given)  # type: ignore[call-arg, arg-type]  # texts, as read


class SettingsRefused(CommandFailed):
    """One line for each setting that is missing or wrong."""


def settings_of_environment() -> Settings:
    """From BABYSEA_* and `.env`. Raises SettingsRefused."""
    from pydantic import ValidationError

    from settings import Settings

    try:
        return Settings()  # type: ignore[call-arg]  # the required ones come from the environment
    except ValidationError as error:
        raise SettingsRefused("\n".join(_rule(problem) for problem in error.errors())) from None


def _rule(problem: ErrorDetails) -> str:
    from settings import Settings

    field = str(problem["loc"][0]) if problem["loc"] else None
    if field is None:  # a rule about several of them, which names them itself
        return problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        return f"BABYSEA_{field.upper()} is missing. {Settings.model_fields[field].description}"
    return f"BABYSEA_{field.upper()} is refused: {problem['msg'].removeprefix('Value error, ')}."


def with_database(data: Path, step: Callable[[Deployment, Pool], Awaitable[T]]) -> T:
    """Run one step of a command against the system's database."""

    async def run() -> T:
        deployment = find(data)
        async with deployment.database() as pool:
            return await step(deployment, pool)

    return asyncio.run(run())
