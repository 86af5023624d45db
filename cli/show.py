"""`babysea show`: the story of one generation."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.deployment import DataOption, Deployment, JsonOption, with_database
from cli.output import out, print_json
from domain.errors import GenerationNotFound
from embedded.config import DATA_DEFAULT

if TYPE_CHECKING:
    from settings import Settings
    from store.connection import Pool

GenerationArgument = Annotated[str, typer.Argument(metavar="GENERATION_ID", help="Its id.")]


def show(generation_id: GenerationArgument, data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """Print the execution record of a generation: what became of each field, which providers were skipped and why,
    attempts, latency, cost, credits, artifacts, how they deviate from what was asked for, webhooks."""
    from cli.timeline import Document, print_timeline

    async def step(deployment: Deployment, pool: Pool) -> Document:
        return await story_of(deployment.settings, pool, known_form(generation_id))

    story = with_database(data, step)
    if as_json:
        print_json(story)
    else:
        print_timeline(out, story)


async def story_of(settings: Settings, pool: Pool, generation_id: str) -> dict[str, Any]:
    """Raises GenerationNotFound."""
    from cli.timeline import document
    from store import timeline
    from store.connection import transaction

    async with transaction(pool) as conn:
        told = await timeline.timeline(conn, generation_id)
    return document(told, artifacts=None if settings.storage_bucket else settings.storage_path)


def known_form(generation_id: str) -> str:
    """Raises GenerationNotFound for what is not an id at all."""
    try:
        return str(uuid.UUID(generation_id))
    except ValueError:
        raise GenerationNotFound("There is no such generation: an id looks like a UUID.") from None
