"""Every operation of the document, asked with generated requests: right ones, wrong ones, of things that exist or not.

No 5xx, no status that is not documented, no answer outside its schema, no other media type. The stack is its own: what
is generated pauses providers and closes accounts.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import TimeoutError as Unanswered
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as bounds
from hypothesis import strategies as st
from pydantic import SecretStr
from schemathesis import GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.generation.case import Case

import composition
from domain.operators import mint_operator_key
from settings import Settings
from store import operators
from store.connection import open_pool, single
from tests.api.conftest import Customer, customers_on, generate, serving
from tests.support.postgres import fresh_database
from tests.support.staged_worker import StagedProvider, staged_worker
from tests.support.temporal import dev_server

SEED = 1_604
EXAMPLES = 12  # of each kind, for each operation
ANSWER_WITHIN_S = 30
NOWHERE = "http://127.0.0.1:9"
KEPT = Path(__file__).parents[2] / "docs" / "openapi.json"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]

SCHEMA = schemathesis.openapi.from_dict(json.loads(KEPT.read_text()))
OPERATIONS = [found.ok() for found in SCHEMA.get_all_operations()]


@dataclass(frozen=True)
class Fuzzed:
    """A served API, the callers, and things that exist, by the names that the paths have for them."""

    http: httpx.AsyncClient
    caller: Customer
    operator: dict[str, str]
    known: dict[str, str]
    instead: dict[str, dict[str, str]]  # of those, by operation: what it ends, so that the others still find theirs

    def name(self, operation_id: str, parameter: str) -> str | None:
        return self.instead.get(operation_id, {}).get(parameter) or self.known.get(parameter)


@pytest.fixture(scope="module")
async def fuzzed(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fuzzed]:
    async with AsyncExitStack() as stack:
        database_url = await fresh_database()
        engine = (await stack.enter_async_context(dev_server())).client
        pool = await open_pool(database_url, size_max=4)
        stack.push_async_callback(pool.close)
        own = settings.model_copy(
            update={
                "database_url": SecretStr(database_url),
                "temporal_address": engine.service_client.config.target_host,
                "storage_path": tmp_path_factory.mktemp("fuzzed"),
                "webhook_private_addresses": True,
            }
        )
        objects = composition.object_store(own, file_urls_key=composition.keys(own).file_urls)
        providers = {name: StagedProvider(name) for name in ("replicate", "fal")}
        # No looks at jobs: each leaves a traceback, which is parsed, and CPython 3.11 cannot parse in two threads.
        never = timedelta(hours=1)
        await stack.enter_async_context(staged_worker(engine, pool, objects, providers, poll_interval=never))
        new_customer = customers_on(own, pool)
        caller, other, closing = [await new_customer(credits=10**12) for _ in range(3)]
        ended_key = await new_customer(account_id=other.account_id)
        minted, spare = (mint_operator_key(composition.keys(own).operator_keys, os.urandom(32)) for _ in range(2))
        async with single(pool) as conn:
            await operators.create(conn, "fuzzer", minted)
            victim = await operators.create(conn, "victim", spare)
        http = await stack.enter_async_context(serving(own))
        operator = {"Authorization": f"Bearer {minted.secret}"}
        endpoints = [
            await http.post(
                f"/admin/v1/accounts/{other.account_id}/webhooks", headers=operator, json={"url": f"{NOWHERE}/{number}"}
            )
            for number in range(2)
        ]
        made = [(await generate(http, caller)).json()["data"]["generation_id"] for _ in range(3)]
        await http.post(f"/v1/content/generation/cancel/{made[1]}", headers=caller.auth)
        yield Fuzzed(
            http,
            caller,
            operator,
            {
                "model_identifier": "bfl/flux-schnell",
                "generation_id": made[0],
                "account_id": other.account_id,
                "api_key_id": other.api_key_id,
                "endpoint_id": endpoints[0].json()["data"]["endpoint_id"],
                "operator_id": victim.operator_id,
                "provider": "fal",
            },
            {
                "delete_generation": {"generation_id": made[1]},
                "cancel_generation": {"generation_id": made[2]},
                "close_account": {"account_id": closing.account_id},
                "revoke_key": {"api_key_id": ended_key.api_key_id},
                "delete_key": {"api_key_id": ended_key.api_key_id},
                "delete_webhook": {"endpoint_id": endpoints[1].json()["data"]["endpoint_id"]},
                "generate_video": {"model_identifier": "pixverse/v5"},
            },
        )


@pytest.fixture
async def send(fuzzed: Fuzzed) -> Callable[[Case], httpx.Response]:
    """Sends a case from another thread into the loop that the API runs in."""
    loop = asyncio.get_running_loop()

    def sent(case: Case) -> httpx.Response:
        prepared = requests.Request(**case.as_transport_kwargs(base_url="http://testserver")).prepare()
        headers = [(_bytes(name), _bytes(value)) for name, value in prepared.headers.items()]
        request = httpx.Request(str(prepared.method), str(prepared.url), headers=headers, content=_bytes(prepared.body))
        future = asyncio.run_coroutine_threadsafe(fuzzed.http.send(request), loop)
        try:
            return future.result(ANSWER_WITHIN_S)
        except Unanswered as unanswered:
            raise AssertionError(f"No answer in {ANSWER_WITHIN_S} s: {case.as_curl_command()}") from unanswered

    return sent


def _bytes(text: str | bytes | None) -> bytes:
    return text.encode() if isinstance(text, str) else text or b""


def cases(operation: Any, mode: GenerationMode) -> st.SearchStrategy[Case]:
    strategy: st.SearchStrategy[Case] = operation.as_strategy(generation_mode=mode)
    return strategy


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
async def test_an_operation_answers_whatever_it_is_asked_as_documented(
    operation: Any, fuzzed: Fuzzed, send: Callable[[Case], httpx.Response]
):
    print(f"seed {SEED}")
    keys = fuzzed.operator if operation.path.startswith("/admin") else fuzzed.caller.auth
    modes, operation_id = list(kinds_of(operation)), operation.definition.raw["operationId"]

    def fuzz() -> None:
        for mode in modes:

            @seed(SEED)
            @bounds(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=cases(operation, mode), exists=st.booleans())
            def ask(case: Case, exists: bool) -> None:
                if exists:
                    for name in case.path_parameters:
                        case.path_parameters[name] = fuzzed.name(operation_id, name) or case.path_parameters[name]
                case.headers = {**(case.headers or {}), **keys}
                case.validate_response(send(case), checks=CHECKS)

            ask()

    await asyncio.to_thread(fuzz)


def kinds_of(operation: Any) -> Iterator[GenerationMode]:
    yield GenerationMode.POSITIVE
    if operation.body or operation.query or operation.headers:
        yield GenerationMode.NEGATIVE
