"""What the demo does with a running system: an account of its own, three generations, and every check on them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from cli.accounts import account_with_credits, make_key
from cli.api_client import ApiClient
from cli.demo_scenes import SCENES, Scene
from cli.deployment import Deployment
from cli.endpoints import add_endpoint, new_secret
from cli.output import credits
from cli.receiver import Receiver
from cli.show import story_of
from cli.timeline import Document
from domain.errors import DatabaseUnavailable
from store import ledger, webhook_endpoints
from store.accounts import Account
from store.connection import Pool, transaction

PLAN = "pro"
GRANT = 25_000_000  # micro-credits
EVENTS = ["generation.completed", "generation.failed", "generation.canceled"]
ENDED_WITHIN_S = 300.0
WEBHOOK_WITHIN_S = 60.0
PATIENCE_S = 60.0  # with a part that is being started again

TAKES_MAX = 3
AWAY_PAUSE_S = 3.0  # what was killed is being started again

T = TypeVar("T")
Check = dict[str, Any]
Say = Callable[[str], None]


def _check(name: str, passed: bool, detail: str = "") -> Check:
    return {"name": name, "passed": passed, "detail": detail}


async def run(deployment: Deployment, *, say: Say) -> dict[str, Any]:
    """Everything that the demo prints, as one document. Raises CommandFailed when a part stays away."""
    secret = new_secret()
    pool = await patiently(lambda: _pool(deployment))
    try:
        async with Receiver(secret) as receiver:
            customer = await patiently(lambda: _customer(deployment, pool, receiver.url, secret))
            say(f"account {customer.account.name} with {credits(GRANT)} credits; webhooks to {receiver.url}")
            try:
                async with ApiClient(deployment.api_url, customer.key, patience_s=PATIENCE_S) as api:
                    stage = Stage(deployment, pool, api, receiver, customer, say)
                    stories = await asyncio.gather(*(stage.play(scene) for scene in SCENES))
                return await patiently(lambda: _books(pool, customer, stories))
            finally:
                with suppress(DatabaseUnavailable):
                    await _retire(pool, customer)
    finally:
        await pool.close()


@dataclass(frozen=True)
class Customer:
    account: Account
    key: str
    endpoint_id: str


async def patiently(step: Callable[[], Awaitable[T]]) -> T:
    """Repeat a step that is safe to repeat while the database is being started again."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await step()
        except DatabaseUnavailable:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.25)


async def _pool(deployment: Deployment) -> Pool:
    from store.connection import open_pool

    return await open_pool(deployment.settings.database_url.get_secret_value(), size_max=4)


async def _customer(deployment: Deployment, pool: Pool, url: str, secret: str) -> Customer:
    """An account of this run alone, so that its books tell of nothing else."""
    name = f"demo {datetime.now(UTC):%Y-%m-%d %H:%M:%S} {os.urandom(3).hex()}"
    async with transaction(pool) as conn:
        account = await account_with_credits(conn, name, plan=PLAN, microcredits=GRANT, reason="demo")
        _, key = await make_key(conn, deployment.settings, account, scopes=["full_access"], name="demo")
        endpoint = await add_endpoint(conn, deployment.settings, account, url=url, secret=secret, events=EVENTS)
    return Customer(account, key, endpoint.endpoint_id)


async def _retire(pool: Pool, customer: Customer) -> None:
    """Nobody listens there any more."""
    async with transaction(pool) as conn:
        await webhook_endpoints.delete(conn, customer.account.account_id, customer.endpoint_id)


@dataclass(frozen=True)
class Stage:
    """Where the scenes are played."""

    deployment: Deployment
    pool: Pool
    api: ApiClient
    receiver: Receiver
    customer: Customer
    say: Say

    async def play(self, scene: Scene) -> Document:
        """The scene as it was meant to go. A part that is killed meanwhile may take both providers away, and then a
        generation rightly ends otherwise: its record is checked all the same, and the scene is played again."""
        earlier: list[Document] = []
        while True:
            story = await self._take(scene, len(earlier) + 1)
            meant = [
                _check("succeeded", story["generation"]["status"] == "succeeded"),
                _check(f"delivered by {scene.provider}", story["generation"]["provider_used"] == scene.provider),
                _check(f"{scene.attempts_min} attempt(s) recorded", len(story["attempts"]) >= scene.attempts_min),
            ]
            if all(check["passed"] for check in meant) or len(earlier) + 1 == TAKES_MAX:
                return {**story, "checks": [*meant, *story["checks"]], "earlier": earlier}
            self.say(f"{scene.title}: the providers were away; once more")
            earlier.append(story)
            await asyncio.sleep(AWAY_PAUSE_S)

    async def _take(self, scene: Scene, number: int) -> Document:
        """One generation, and whether its record is right, however it ended."""
        key = f"demo-{self.customer.account.account_id}-{scene.title.replace(' ', '-')}-{number}"
        generation_id = await self.api.generate(scene.media_type, scene.model, scene.body, key)
        self.say(f"{scene.title}: generation {generation_id} started")
        record = await self.api.ended(generation_id, within_s=ENDED_WITHIN_S)
        status = record["generation_status"]
        self.say(f"{scene.title}: {status} by {record.get('generation_provider_used') or 'nobody'}")
        event = "generation.completed" if status == "succeeded" else f"generation.{status}"
        webhook = await self.receiver.verified(event, generation_id, within_s=WEBHOOK_WITHIN_S)
        story = await patiently(lambda: self._story(generation_id))
        for delivery in story["webhooks"]:
            delivery["verified"] = webhook is not None and delivery["delivery_id"] == webhook.delivery_id
        checks = [
            *_record_is_right(record, story),
            *await self._artifacts_are_right(record, story),
            _check("webhook received, signature verified", webhook is not None),
        ]
        return {"title": scene.title, **story, "checks": checks}

    async def _story(self, generation_id: str) -> Document:
        """With the end of the webhook's delivery, which the customer sees a moment before our records do."""
        deadline = time.monotonic() + WEBHOOK_WITHIN_S
        while True:
            story: Document = await story_of(self.deployment.settings, self.pool, generation_id)
            pending = any(delivery["state"] == "pending" for delivery in story["webhooks"])
            if not pending or time.monotonic() > deadline:
                return story
            await asyncio.sleep(0.1)

    async def _artifacts_are_right(self, record: dict[str, Any], story: Document) -> list[Check]:
        urls = record.get("generation_output_file") or []
        wanted = record["generation_status"] == "succeeded"
        checks = [_check("an artifact for every output", bool(urls) is wanted and len(urls) == len(story["artifacts"]))]
        for url, artifact in zip(urls, story["artifacts"], strict=False):
            content = await self.api.download(url)
            same = hashlib.sha256(content).hexdigest() == artifact["sha256"]
            checks.append(_check("artifact downloaded, checksum equals the record", same, f"{len(content)} bytes"))
        return checks


def _record_is_right(record: dict[str, Any], story: Document) -> list[Check]:
    generation, attempts, moved = story["generation"], story["attempts"], story["credits"]
    succeeded = generation["status"] == "succeeded"
    used = [attempt["state"] for attempt in attempts].count("used")
    operations = [transfer["operation"] for transfer in moved["transfers"]]
    end = "settle" if succeeded else "release"
    return [
        _check("the API and the record agree", record["generation_status"] == generation["status"]),
        _check("exactly one attempt was used" if succeeded else "no attempt was used", used == int(succeeded)),
        _check(f"credits held once, then {end}d once", operations == ["reserve", end], ", ".join(operations)),
    ]


async def _books(pool: Pool, customer: Customer, stories: list[Document]) -> dict[str, Any]:
    async with transaction(pool) as conn:
        balance = await ledger.balance(conn, customer.account.account_id)
        violations = await ledger.check(conn)
    told = [take for story in stories for take in (story, *story["earlier"])]
    charged = sum(take["credits"]["settled_microcredits"] or 0 for take in told)
    checks = [
        _check(
            "credits before less credits after is what was settled",
            GRANT - balance.available == charged and balance.held == 0,
            f"{credits(GRANT)} - {credits(balance.available)} = {credits(charged)}",
        ),
        _check("the ledger is balanced", not violations, "; ".join(violations)),
    ]
    return {
        "passed": all(check["passed"] for check in [*checks, *(check for take in told for check in take["checks"])]),
        "generations": stories,
        "checks": checks,
        "credits": {
            "before_microcredits": GRANT,
            "after_microcredits": balance.available,
            "charged_microcredits": charged,
        },
        "ledger": {"balanced": not violations, "violations": violations},
    }
