"""What an admission keeps of its decision, what an end keeps of its outputs, and the policy that an account has."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection

from domain.errors import InsufficientCredits
from domain.generation import Decision, Deviation, FieldsAt, Measure, Skipped, SkipReason
from store import accounts, generations, keys, retention
from store.keys import ApiKeyRow
from store.timeline import timeline
from tests.store.builders import a_processing, an_account, an_admitted, failure, success

Conn = AsyncConnection[Any]

A_DECISION = Decision(
    defaulted=["generation_ratio"],
    routing=["generation_provider_order"],
    candidates=[
        FieldsAt(
            "replicate", "5f70bf18a086", {"generation_prompt": "prompt"}, {"generation_ratio": "aspect_ratio"}, {}
        ),
        FieldsAt("fal", "18a0865f70bf", {"generation_prompt": "prompt"}, {}, {"generation_ratio": "as the input"}),
    ],
    skipped=[
        Skipped("bfl", SkipReason.CANNOT_SERVE, "generation_output_number", "4"),
        Skipped("openai", SkipReason.UNAVAILABLE),
    ],
)
DEVIATIONS = [Deviation(Measure.COUNT, "2", "1"), Deviation(Measure.SECONDS, "5", "4.250", 0)]


async def decisions_of(conn: Conn, generation_id: str) -> int:
    cursor = await conn.execute("SELECT count(*) FROM store.decisions WHERE generation_id = %s", [generation_id])
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def test_an_admission_keeps_its_decision(conn: Conn, account_id: str) -> None:
    request = await an_admitted(conn, account_id, decision=A_DECISION)
    await generations.admit(conn, request)  # a repeat

    assert (await timeline(conn, request.generation_id)).decision == A_DECISION


async def test_a_request_of_an_earlier_version_has_none(conn: Conn, account_id: str) -> None:
    request = await an_admitted(conn, account_id)

    assert (await timeline(conn, request.generation_id)).decision is None


async def test_a_refused_admission_keeps_nothing(conn: Conn) -> None:
    poor = await an_account(conn)
    generation_id = str(uuid.uuid4())

    with pytest.raises(InsufficientCredits):
        await an_admitted(conn, poor, decision=A_DECISION, generation_id=generation_id)

    assert await decisions_of(conn, generation_id) == 0


async def test_the_decision_outlives_a_deletion_and_goes_with_the_record(conn: Conn, account_id: str) -> None:
    request = await a_processing(conn, account_id, decision=A_DECISION)
    await generations.finish(conn, success(request))
    await generations.mark_deleted(conn, account_id, request.generation_id)

    kept = await timeline(conn, request.generation_id)
    await retention.mark_files_removed(conn, [request.generation_id])
    purged = await retention.purge_generations(conn, account_id, timedelta(0), limit=10)

    assert kept.record.params == {}
    assert kept.decision == A_DECISION
    assert purged == 1
    assert await decisions_of(conn, request.generation_id) == 0


async def test_a_success_keeps_its_deviations_and_its_first_end_stands(conn: Conn, account_id: str) -> None:
    request = await a_processing(conn, account_id, output_count=2)
    await generations.finish(conn, success(request, deviations=DEVIATIONS))
    await generations.finish(conn, success(request))

    record = await generations.get(conn, account_id, request.generation_id)

    assert record is not None
    assert record.deviations == DEVIATIONS


async def test_what_did_not_succeed_has_no_deviations(conn: Conn, account_id: str) -> None:
    request = await a_processing(conn, account_id)
    await generations.finish(conn, failure(request, deviations=DEVIATIONS))

    record = await generations.get(conn, account_id, request.generation_id)

    assert record is not None
    assert record.deviations == []


async def test_the_policy_about_refused_content_comes_with_the_key(conn: Conn, account_id: str) -> None:
    key = ApiKeyRow(str(uuid.uuid4()), account_id, "worker", "bye_Qk7Zd", uuid.uuid4().bytes * 2, ["full"], "us")
    await keys.insert(conn, key)
    account = await accounts.get(conn, account_id)
    assert account is not None
    before = await keys.find(conn, key.key_hash)

    await accounts.update(conn, replace(account, moderation_failover=True))

    after = await keys.find(conn, key.key_hash)
    assert before is not None
    assert after is not None
    assert (before.account_moderation_failover, after.account_moderation_failover) == (False, True)
