"""Every model of the catalogue, on each provider that hosts it: asked for over the API, made, stored and paid."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from domain.errors import ControlPlaneError
from domain.fields import DURATION, INPUT_FILE, PROMPT, PROVIDER_ORDER, FieldKind, values_of
from domain.mapping import CannotServe, compile_native
from domain.model import Model
from domain.normalization import normalize
from tests.end_to_end.conftest import a_caller
from tests.support.catalog import A_FILE, CATALOG
from tests.support.stack import Caller, StackProcess

AT_ONCE = 8
TRIES = 4  # of a request that a busy machine may repeat, under its own key
PATIENCE_S = 240
CLIP_S = 5  # the video that is given where one is needed


@dataclass(frozen=True)
class Way:
    model: str
    provider: str


def ways() -> list[Way]:
    today = CATALOG.on(datetime.now(UTC).date())
    return [Way(model.identifier, entry.provider) for model in today.models.values() for entry in model.providers]


def body_for(model: Model, provider: str, files: dict[str, str]) -> dict[str, Any]:
    """What is required, and of the other fields only those whose default this provider cannot serve."""
    body: dict[str, Any] = {PROVIDER_ORDER: provider}
    for field in model.fields:
        if field.name == PROMPT:
            body[PROMPT] = "a lighthouse in a storm"
        elif field.name == INPUT_FILE and model.input_files_min:
            body[INPUT_FILE] = [files[model.input_kind(index)] for index in range(model.input_files_min)]
        elif field.name == DURATION:
            least = CLIP_S if model.duration_of_input else 0
            body[DURATION] = next(value for value in field.choices if int(value) >= least)
    return next(candidate for candidate in variants(model, body) if is_served(model, provider, candidate))


def variants(model: Model, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The body, then with other values of its enumerable fields, one and two at a time."""
    yield body
    changes = [
        {field.name: value}
        for field in model.fields
        if field.kind is not FieldKind.PROVIDER_ORDER
        for value in values_of(field)
    ]
    yield from (body | change for change in changes)
    yield from (body | one | two for one, two in combinations(changes, 2))


def is_served(model: Model, provider: str, body: dict[str, Any]) -> bool:
    """With addresses as they will look after our copy, so that only the provider's own limits decide."""
    public = {name: [A_FILE] * len(value) if name == INPUT_FILE else value for name, value in body.items()}
    try:
        compile_native(model.entry(provider), normalize(model, model.media_type, public))
    except (CannotServe, ControlPlaneError):
        return False
    return True


@pytest.fixture(scope="module")
def buyer(stack: StackProcess) -> Caller:
    return a_caller(stack, stack.found, "every-model", credits="1000")


async def test_every_model_generates_on_every_provider_that_hosts_it(stack: StackProcess, buyer: Caller) -> None:
    async with httpx.AsyncClient(
        base_url=stack.found.config.api_url,
        headers={"authorization": f"Bearer {buyer.key}"},
        timeout=30,
        trust_env=False,
        limits=httpx.Limits(max_connections=AT_ONCE),
    ) as http:
        picture = await asked(http, Way("bfl/flux-schnell", "replicate"), {})
        clip = await asked(http, Way("pixverse/v5", "replicate"), {})
        given = await ended(stack, [picture, clip])
        assert not [end.why for end in given.values() if end.why], given
        files = {"image": await file_of(http, picture), "video": await file_of(http, clip)}
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(way: Way) -> str:
            async with gate:
                return await asked(http, way, files)

        made = dict(zip(ways(), await asyncio.gather(*map(one, ways())), strict=True))
        ends = await ended(stack, [each for each in made.values() if not each.startswith("refused")])

    wrong = [
        f"{way.model} on {way.provider}: {why}" for way, each in made.items() if (why := wrong_with(way, each, ends))
    ]
    assert not wrong, "\n".join(wrong)
    assert set(Counter(way.provider for way in made)) == set(CATALOG.providers)


async def asked(http: httpx.AsyncClient, way: Way, files: dict[str, str]) -> str:
    """The generation's id, or `refused` and why."""
    model, key = CATALOG.models[way.model], uuid4().hex
    for _ in range(TRIES):
        answer = await http.post(
            f"/v1/generate/{model.media_type}/{way.model}",
            json=body_for(model, way.provider, files),
            headers={"idempotency-key": key},
        )
        if answer.status_code < 500 or not answer.json()["error"]["retryable"]:
            break
    if answer.status_code != 200:
        return f"refused: {answer.json()['error']['message']}"
    return str(answer.json()["data"]["generation_id"])


async def file_of(http: httpx.AsyncClient, generation_id: str) -> str:
    record = (await http.get(f"/v1/content/{generation_id}")).json()["data"]
    return str(record["generation_output_file"][0])


@dataclass(frozen=True)
class End:
    """What the books say of a generation that has ended."""

    provider: str | None
    outputs: int
    why: str | None  # it failed
    deviations: str | None  # between what was asked and what came


async def ended(stack: StackProcess, generation_ids: list[str]) -> dict[str, End]:
    """Waits in the records, so that no customer's request limit is in the way."""
    async with (
        asyncio.timeout(PATIENCE_S),
        await psycopg.AsyncConnection.connect(stack.found.database_url, autocommit=True) as conn,
    ):
        while True:
            cursor = await conn.execute(ENDED, [generation_ids])
            rows = await cursor.fetchall()
            if len(rows) == len(generation_ids):
                return {row[0]: End(*row[1:]) for row in rows}
            await asyncio.sleep(0.3)


ENDED = """
SELECT generation_id::text, provider_used,
       (SELECT count(*) FROM store.assets AS asset WHERE asset.generation_id = generation.generation_id),
       CASE WHEN status <> 'succeeded' THEN
           status || coalesce((SELECT string_agg(attempt.failure::text, ' ') FROM store.attempts AS attempt
                                WHERE attempt.generation_id = generation.generation_id), '') END,
       nullif(deviations, '[]')::text
  FROM store.generations AS generation
 WHERE generation_id = ANY(%s::uuid[]) AND completed_at IS NOT NULL
"""


def wrong_with(way: Way, made: str, ends: dict[str, End]) -> str | None:
    end = ends.get(made)
    if end is None or end.why:
        return end.why if end else made
    if (end.provider, end.outputs) != (way.provider, 1):
        return f"{end.outputs} outputs by {end.provider}"
    return f"not what was asked: {end.deviations}" if end.deviations else None
