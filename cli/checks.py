"""`babysea check`: what is configured, tried out."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.deployment import DataOption, JsonOption
from cli.output import print_json, print_table
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


async def _checked(data: Path, timeout: timedelta) -> list[dict[str, str]]:
    from cli import keyed

    configured = keyed.providers(data, timeout=timeout)
    return list(await asyncio.gather(*(_one(name, found, timeout) for name, found in configured.items())))


async def _one(name: str, found: Configured, timeout: timedelta) -> dict[str, str]:
    from cli.keyed import variables_of
    from domain.errors import ProviderAuthFailed, ProviderCreditsExhausted, ProviderError

    variables = " and ".join(variables_of(name))
    if found.problem is not None:
        return _row(name, "failed", f"A setting of it cannot be right: {found.problem}")
    if found.provider is None:
        return _row(name, "not configured", f"Set {variables} to use it.")
    try:
        async with asyncio.timeout(timeout.total_seconds()):
            await found.provider.check()
    except TimeoutError:
        return _row(name, "failed", f"It did not answer within {timeout.total_seconds():g} s.")
    except ProviderAuthFailed as refused:
        return _row(name, "failed", f"{refused.message} It does not take the key: look at {variables}.")
    except ProviderCreditsExhausted as empty:
        return _row(name, "failed", f"{empty.message} The key is right; the account there needs credit.")
    except ProviderError as failed:
        return _row(name, "failed", f"{failed.message} Whether the key is right is not known.")
    return _row(name, "ok", "")


def _row(name: str, state: str, why: str) -> dict[str, str]:
    return {"provider": name, "state": state, "why": why}
