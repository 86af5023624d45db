"""`babysea check`: what is configured, tried out."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.deployment import DataOption, JsonOption
from cli.output import print_json, print_table
from domain.errors import ProviderAuthFailed, ProviderCreditsExhausted, ProviderError
from embedded.config import DATA_DEFAULT

if TYPE_CHECKING:
    from cli.keyed import Configured

CHECK_WITHIN_S = 10.0

check_commands = typer.Typer(no_args_is_help=True, help="Try out what is configured.")


@check_commands.callback()
def _check() -> None:
    """Without this, typer would make the one command the group itself."""


@check_commands.command()
def providers(
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for each.")] = CHECK_WITHIN_S,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Ask every provider that has a key whether the key is right: one request that costs nothing, all at once.

    The exit code is 1 when one of them refuses its key or does not answer.
    """
    found = asyncio.run(_checked(data, timedelta(seconds=timeout)))
    if as_json:
        print_json(found)
    else:
        print_table(
            ("provider", "state", "what is wrong"), ((row["provider"], row["state"], row["why"]) for row in found)
        )
    if any(row["state"] == "failed" for row in found):
        raise typer.Exit(1)


async def _checked(data: Path, within: timedelta) -> list[dict[str, str]]:
    from cli import keyed

    configured = keyed.providers(data, timeout=within)
    return list(await asyncio.gather(*(_one(name, found, within) for name, found in configured.items())))


async def _one(name: str, found: Configured, within: timedelta) -> dict[str, str]:
    from cli.keyed import variables_of

    if found.problem is not None:
        return _row(name, "failed", f"A setting of it cannot be right: {found.problem}")
    if found.provider is None:
        return _row(name, "not configured", f"Set {' and '.join(variables_of(name))} to use it.")
    try:
        async with asyncio.timeout(within.total_seconds()):
            await found.provider.check()
    except TimeoutError:
        return _row(name, "failed", f"It did not answer within {within.total_seconds():g} s.")
    except ProviderError as failed:
        return _row(name, "failed", f"{failed.message} {_meaning(failed, name)}")
    return _row(name, "ok", "")


def _meaning(failed: ProviderError, name: str) -> str:
    from cli.keyed import variables_of

    match failed:
        case ProviderAuthFailed():
            return f"The key is not taken: look at {' and '.join(variables_of(name))}."
        case ProviderCreditsExhausted():
            return "The key is right; the account there needs credit."
        case _:
            return "Whether the key is right is not known."


def _row(name: str, state: str, why: str) -> dict[str, str]:
    return {"provider": name, "state": state, "why": why}
