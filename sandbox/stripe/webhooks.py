"""Webhooks: which endpoint is told of an event, signed how, when, how often. In order unless a fault says otherwise.

Source: the stripe package 16.1, read 2026-11: `Stripe-Signature: t=<seconds>,v1=<hex>`, HMAC-SHA256 of `<t>.<body>`
with the whole secret as key, one v1 for each secret that is valid; in test mode a v0 besides.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from contextlib import suppress
from typing import Any

from sandbox.sender import Sender
from sandbox.stripe import credentials
from sandbox.stripe.faults import Fault, Faults
from sandbox.stripe.store import Doc
from sandbox.stripe.world import World, shown

_RETRY_DELAYS_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
_TIMEOUT_S = 20.0
_STALE_S = 600
_LONGEST_SLEEP_S = 3600.0
_COLUMNS = ("number", "event", "type", "endpoint", "state", "due_at", "turn", "attempts", "status")


def signature(body: bytes, secrets: list[str], at: int) -> str:
    """The value of the header."""
    signed = [hmac.new(one.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest() for one in secrets]
    return ",".join([f"t={at}", *(f"v1={one}" for one in signed), f"v0={hashlib.sha256(body).hexdigest()}"])


class Webhooks:
    """States of a delivery: pending, held (on demand), gathering (to be reordered), dropped, sent, given_up."""

    def __init__(self, world: World, faults: Faults, *, retry_scale: float = 1.0) -> None:
        self._world = world
        self._db = world.store.db
        self._faults = faults
        self._retry_scale = retry_scale
        self._sender = Sender()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._news: dict[str, asyncio.Event] = {}
        world.on_event = self._enqueue

    # deciding, inside the transaction of the request

    def _enqueue(self, event: Doc) -> None:
        endpoints = [
            one for one in self._world.find("webhook_endpoint", status="enabled") if _wants(one, event["type"])
        ]
        if not endpoints:
            return
        self._world.save(event, {"pending_webhooks": len(endpoints)})
        fault = self._faults.take("webhook_", event["type"])
        held = self._world.store.setting("held", default=False)
        for endpoint in endpoints:
            self._add(event, endpoint, fault, "held" if held else "pending")
        if fault and fault.word == "webhook_reordered":
            self._gathered(fault)

    def _add(self, event: Doc, endpoint: Doc, fault: Fault | None, state: str) -> None:
        word, due = fault.word if fault else "", time.time()
        if word == "webhook_dropped":
            state = "dropped"
        elif word == "webhook_reordered":
            state = "gathering"
        elif word == "webhook_late" and fault:
            due += fault.seconds
        elif word == "webhook_forged":
            state = f"forged_{state}"
        for _ in range(2 if word == "webhook_duplicate" else 1):
            number = self._db.execute(
                "INSERT INTO stripe_deliveries (event, type, endpoint, state, due_at, turn) VALUES (?, ?, ?, ?, ?, 0)",
                (event["id"], event["type"], endpoint["id"], state.removeprefix("forged_"), due),
            ).lastrowid
            self._db.execute("UPDATE stripe_deliveries SET turn = number WHERE number = ?", (number,))
            if state.startswith("forged_"):
                self._world.store.set_setting(f"forged_{number}", value=True)

    def _gathered(self, fault: Fault) -> None:
        kept = self._db.execute("SELECT count(DISTINCT event) FROM stripe_deliveries WHERE state = 'gathering'")
        if kept.fetchone()[0] >= fault.count:
            self._db.execute(
                "UPDATE stripe_deliveries SET state = 'pending', due_at = ?, turn = -number WHERE state = 'gathering'",
                (time.time(),),
            )

    def hold(self, held: bool) -> None:
        """Keep all further webhooks; when it ends, what was kept is sent in order."""
        self._world.store.set_setting("held", held)
        if not held:
            self._db.execute("UPDATE stripe_deliveries SET state = 'pending' WHERE state IN ('held', 'gathering')")

    # sending

    def wake(self) -> None:
        """There may be something to send. One task for each endpoint, so that a slow one holds up no other."""
        for endpoint in self._world.find("webhook_endpoint"):
            name = endpoint["id"]
            if name not in self._tasks or self._tasks[name].done():
                self._news[name] = asyncio.Event()
                self._tasks[name] = asyncio.create_task(self._serve(name))
        for news in self._news.values():  # of endpoints that are gone, too: their tasks end
            news.set()

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._sender.close()

    async def _serve(self, name: str) -> None:
        while (endpoint := self._world.store.get(name)) is not None:
            self._news[name].clear()
            row = self._db.execute(
                "SELECT number, event, due_at, attempts FROM stripe_deliveries "
                "WHERE state = 'pending' AND endpoint = ? ORDER BY due_at, turn LIMIT 1",
                (name,),
            ).fetchone()
            wait_s = min(_LONGEST_SLEEP_S, row[2] - time.time() if row else _LONGEST_SLEEP_S)
            if wait_s > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._news[name].wait(), wait_s)
                continue
            await self._deliver(endpoint, *row)

    async def _deliver(self, endpoint: Doc, number: int, event_id: str, due_at: float, attempts: int) -> None:
        if attempts == 0 and self._world.store.setting(f"forged_{number}", default=False):
            await self.post(endpoint, event_id, "wrong")
        status = await self.post(endpoint, event_id)
        state, due = "sent", due_at
        if not _accepted(status):
            state = "given_up" if attempts >= len(_RETRY_DELAYS_S) else "pending"
            due = time.time() + _RETRY_DELAYS_S[min(attempts, len(_RETRY_DELAYS_S) - 1)] * self._retry_scale
        self._db.execute(
            "UPDATE stripe_deliveries SET state = ?, due_at = ?, attempts = attempts + 1, status = ? WHERE number = ?",
            (state, due, status, number),
        )
        if state == "sent":
            self._told(event_id)

    def _told(self, event_id: str) -> None:
        event = self._world.store.get(event_id)
        if event is not None and event["pending_webhooks"]:
            self._world.save(event, {"pending_webhooks": event["pending_webhooks"] - 1})

    async def post(self, endpoint: Doc, event_id: str, signed: str = "right") -> int | None:
        """Send one event once; the status of the answer, None without one.

        `signed`: right, wrong (another secret), old (only the secret before the last roll), stale (ten minutes ago),
        none (no header).
        """
        event = self._world.store.get(event_id)
        if event is None:  # forgotten meanwhile
            return None
        body = json.dumps({**shown(event), "api_version": endpoint["api_version"] or event["api_version"]}, indent=2)
        secrets = {"wrong": ["whsec_of_somebody_else"], "old": [endpoint.get("_old") or credentials.WEBHOOK_SECRET]}
        at = int(time.time()) - (_STALE_S if signed == "stale" else 0)
        headers = {
            "content-type": "application/json; charset=utf-8",
            "user-agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "accept": "*/*; q=0.5, application/xml",
        }
        if signed != "none":
            headers["stripe-signature"] = signature(body.encode(), secrets.get(signed) or self._valid(endpoint), at)
        try:
            return await self._sender.post(endpoint["url"], body.encode(), headers, _TIMEOUT_S)
        except OSError:
            return None

    def _valid(self, endpoint: Doc) -> list[str]:
        old_until = endpoint.get("_old_until")
        both = old_until is not None and self._world.now < old_until
        return [endpoint["_secret"], *([endpoint["_old"]] if both else [])]

    # looking

    async def send(self, event_ids: list[str], signed: str) -> list[dict[str, Any]]:
        """Send these now, one after the other, to every endpoint that wants them; what was still to be sent is done."""
        told: list[dict[str, Any]] = []
        for event_id in event_ids:
            event = self._world.get("event", event_id)
            for endpoint in self._world.find("webhook_endpoint", status="enabled"):
                if _wants(endpoint, event["type"]):
                    status = await self.post(endpoint, event_id, signed)
                    told.append({"event": event_id, "endpoint": endpoint["id"], "status": status})
                    if signed == "right" and _accepted(status):
                        self._db.execute(
                            "UPDATE stripe_deliveries SET state = 'sent', status = ? WHERE event = ? AND endpoint = ? "
                            "AND state IN ('pending', 'held', 'gathering')",
                            (status, event_id, endpoint["id"]),
                        )
        return told

    def deliveries(self, state: str | None = None, limit: int = 1000) -> list[dict[str, Any]]:
        """Oldest first."""
        rows = self._db.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM stripe_deliveries WHERE state = ifnull(?, state) "  # noqa: S608
            "ORDER BY number LIMIT ?",
            (state, limit),
        )
        return [dict(zip(_COLUMNS, row, strict=True)) for row in rows]

    async def settled(self, seconds: float) -> bool:
        """Wait until nothing is left to be sent."""
        until = time.monotonic() + seconds
        while self._db.execute("SELECT 1 FROM stripe_deliveries WHERE state = 'pending' LIMIT 1").fetchone():
            if time.monotonic() > until:
                return False
            await asyncio.sleep(0.02)
        return True


def _wants(endpoint: Doc, event_type: str) -> bool:
    return "*" in endpoint["enabled_events"] or event_type in endpoint["enabled_events"]


def _accepted(status: int | None) -> bool:
    return status is not None and 200 <= status < 300
