"""`babysea generate`: one generation through the public API, and how it went."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import deployment
from cli.deployment import DataOption, Deployment, JsonOption
from cli.errors import CommandFailed
from cli.output import err, out, print_json
from cli.waiting import longest_life_s
from domain.generation import MediaType
from embedded.config import DATA_DEFAULT

if TYPE_CHECKING:
    from cli.api_client import ApiClient


def generate(
    model: Annotated[str, typer.Argument(help="Model identifier, like bfl/flux-schnell.")],
    prompt: Annotated[str, typer.Argument(help="What to make.")],
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", help="Another field, like generation_ratio=16:9; repeatable."),
    ] = None,
    provider_order: Annotated[str | None, typer.Option(help="Providers to try, like 'fal, replicate'.")] = None,
    key: Annotated[
        str | None, typer.Option(envvar="BABYSEA_KEY", help="API key; the embedded stack's demo key by default.")
    ] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key again is the same generation.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait until it has ended.")] = True,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Make an image or a video. Exit code 1 when it does not succeed."""
    target = deployment.find(data)
    body = {"generation_prompt": prompt, **parameters(parameter or [])}
    if provider_order:
        body["generation_provider_order"] = provider_order
    record = asyncio.run(_generate(target, key or _demo_key(target), model, body, idempotency_key, wait=wait))
    if as_json:
        print_json(record)
    else:
        _print(record)
    if record.get("generation_status") in {"failed", "canceled"}:
        raise typer.Exit(1)


def parameters(given: list[str]) -> dict[str, Any]:
    """Read NAME=VALUE; a value that is JSON keeps its type. Raises CommandFailed."""
    read: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise CommandFailed(f"{text!r} is not of the form NAME=VALUE.")
        try:
            read[name] = json.loads(value)
        except ValueError:
            read[name] = value
    return read


async def _generate(
    target: Deployment, key: str, model: str, body: dict[str, Any], idempotency_key: str | None, *, wait: bool
) -> dict[str, Any]:
    from cli.api_client import ApiClient

    async with ApiClient(target.api_url, key) as api:
        entry = await library_entry(api, model)
        media_type = str(entry["model_type"])
        generation_id = await api.generate(media_type, model, body, idempotency_key or f"cli-{uuid.uuid4()}")
        err.print(f"Generation {generation_id} started.")
        if not wait:
            return await api.content(generation_id)
        import composition

        deadline_s = composition.deadlines(target.settings)[MediaType(media_type)]
        return await api.ended(
            generation_id, within_s=longest_life_s(deadline_s, candidates=len(entry["model_supported_provider"]))
        )


async def library_entry(api: ApiClient, model: str) -> dict[str, Any]:
    """Raises CommandFailed for a model that is not in the library."""
    for entry in await api.models():
        if entry["model_identifier"] == model:
            return entry
    raise CommandFailed(f"There is no model {model!r}. `babysea models` lists them.")


def _demo_key(target: Deployment) -> str:
    from cli.demo_account import KEY_FILE

    file = target.stack.config.data / KEY_FILE if target.stack else None
    if file is None or not file.exists():
        raise CommandFailed("Which key? Give --key or BABYSEA_KEY; `babysea keys create --account NAME` makes one.")
    return file.read_text().strip()


def _print(record: dict[str, Any]) -> None:
    out.print(f"{record['generation_id']} {record['generation_status']}")
    if record.get("generation_error"):
        out.print(f"{record['generation_error']} ({record.get('generation_error_code')})", markup=False)
    for url in record.get("generation_output_file") or []:
        out.print(url, markup=False)
    err.print(f"Its story: babysea show {record['generation_id']}")
