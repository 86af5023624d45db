"""`babysea replay`: run a failed generation again, as a new one, under the same rules as any other."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from cli import deployment
from cli.deployment import DataOption, JsonOption
from cli.output import out, print_json
from cli.show import GenerationArgument, known_form
from embedded.config import DATA_DEFAULT


def replay(
    generation_id: GenerationArgument,
    wait: Annotated[bool, typer.Option(help="Wait until it has ended.")] = True,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Run a failed generation again: today's price, a hold of its own, a new id that names the old one."""
    from cli.replay_run import replayed
    from cli.timeline import print_timeline

    story = asyncio.run(replayed(deployment.find(data), known_form(generation_id), wait=wait))
    if as_json:
        print_json(story)
    else:
        print_timeline(out, story)
    if story["generation"]["status"] in {"failed", "canceled"}:
        raise typer.Exit(1)
