"""The control API under /sandbox/stripe: what customers, banks and time do, and faults."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.stripe import (
    balance,
    checkout,
    clock,
    completing,
    credit_notes,
    disputes,
    endpoints,
    prices,
    refunds,
    risk,
)
from sandbox.stripe.acting import Actor
from sandbox.stripe.cards import BEHAVIOURS
from sandbox.stripe.faults import WORDS, Faults
from sandbox.stripe.problems import StripeRefusal, invalid
from sandbox.stripe.store import Doc
from sandbox.stripe.world import World, shown
from sandbox.submissions import json_body

_PREFIX = "/sandbox/stripe"
_UNITS_S = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}
_SIGNED = {"right", "wrong", "old", "stale", "none"}
Change = Callable[[World, str, Doc], Doc]  # (world, id from the path, body)


def _charge(world: World, body: Doc) -> Doc:
    """The charge that the body names by `charge` or `payment_intent`."""
    if "charge" in body:
        return world.get("charge", body["charge"], "charge")
    return world.get(
        "charge", world.get("payment_intent", body.get("payment_intent"), "payment_intent")["latest_charge"]
    )


def _pay(world: World, name: str, body: Doc) -> Doc:
    session = world.get("checkout.session", name)
    return completing.pay(world, session, body.get("with", "pm_card_visa"), body.get("email"))


def _expire(world: World, name: str, _body: Doc) -> Doc:
    session = world.get("checkout.session", name)
    checkout.expire(world, session)
    return session


def _settle(world: World, name: str, body: Doc) -> Doc:
    return completing.settle(world, world.get("payment_intent", name), succeeds=body.get("outcome") == "succeeded")


def _dispute(world: World, _name: str, body: Doc) -> Doc:
    charge, reason = _charge(world, body), body.get("reason", "fraudulent")
    return disputes.open_dispute(
        world, charge, amount=body.get("amount"), inquiry=body.get("inquiry", False), reason=reason
    )


def _behave(world: World, name: str, body: Doc) -> Doc:
    if body.get("behaves") not in BEHAVIOURS:
        raise invalid(f"behaves is one of {', '.join(BEHAVIOURS)}", param="behaves")
    return world.save(world.get("payment_method", name), {"_behaves": body["behaves"]})


def _catalog(world: World, _name: str, body: Doc) -> Doc:
    """`{"products": [{"id", "name", "metadata", "prices": [{"id", "currency", "unit_amount", "recurring", ...}]}]}`."""
    made = []
    for product in body.get("products", []):
        if world.store.get(product["id"]) is None:
            prices.new_product(world, product["name"], product.get("metadata"), product["id"])
            made.append(product["id"])
        for price in product.get("prices", []):
            if world.store.get(price["id"]) is None:
                prices.new_price(world, product["id"], price, price["id"])
                made.append(price["id"])
    return {"created": made}


def _event(world: World, _name: str, body: Doc) -> Doc:
    """Any event: `object` is an id or a whole document. `livemode`, `account`: as somebody else's event has them."""
    given = body.get("object")
    doc = world.store.get(given) if isinstance(given, str) else given
    if not isinstance(doc, dict) or not isinstance(body.get("type"), str):
        raise invalid("An event has a type and an object: an id or a document.")
    event = world.happened(body["type"], doc, body.get("previous_attributes"))
    return world.save(event, {name: body[name] for name in ("livemode", "account") if name in body})


def _advance(world: World, _name: str, body: Doc) -> Doc:
    """`{"days": 31}`, or `{"to": unix seconds}`."""
    seconds = body["to"] - world.now if "to" in body else sum(_UNITS_S[unit] * number for unit, number in body.items())
    if seconds < 0:
        raise invalid("The clock only goes forward.")
    clock.advance(world, int(seconds))
    return {"now": world.now, "ahead_s": world.ahead_s}


_CHANGES: dict[str, Change] = {
    "/checkout/{id}/pay": _pay,
    "/checkout/{id}/expire": _expire,
    "/payments/{id}/settle": _settle,
    "/payment_methods/{id}": _behave,
    "/refunds": lambda world, _, body: refunds.refund(world, _charge(world, body), body.get("amount")),
    "/refunds/{id}/fail": lambda world, name, _: refunds.fail(world, world.get("refund", name)),
    "/disputes": _dispute,
    "/disputes/{id}/escalate": lambda world, name, _: disputes.escalate(world, world.get("dispute", name)),
    "/disputes/{id}/amount": lambda world, name, body: disputes.change_amount(
        world, world.get("dispute", name), body["amount"]
    ),
    "/disputes/{id}/close": lambda world, name, body: disputes.close(
        world, world.get("dispute", name), body.get("outcome", "won")
    ),
    "/credit_notes/{id}/void": lambda world, name, _: credit_notes.void(world, world.get("credit_note", name)),
    "/fraud_warnings": lambda world, _, body: risk.warn(world, _charge(world, body)),
    "/reviews": lambda world, _, body: risk.open_review(world, _charge(world, body)),
    "/reviews/{id}/close": lambda world, name, body: risk.close_review(
        world, world.get("review", name), body.get("reason", "approved")
    ),
    "/payouts": lambda world, _, body: balance.pay_out(world, body.get("currency", "usd")),
    "/catalog": _catalog,
    "/events": _event,
    "/clock": _advance,
    "/webhook_endpoints/{id}/roll": lambda world, name, body: endpoints.roll(world, name, body.get("keeps_s", 86400)),
}


class Control:
    def __init__(self, actor: Actor, faults: Faults) -> None:
        self._actor = actor
        self._faults = faults
        self._webhooks = actor.webhooks

    def routes(self) -> list[Route]:
        return [
            *(Route(_PREFIX + path, self._changing(change), methods=["POST"]) for path, change in _CHANGES.items()),
            Route(_PREFIX, self.overview),
            Route(_PREFIX, self.forget, methods=["DELETE"]),
            Route(f"{_PREFIX}/faults", self.faults),
            Route(f"{_PREFIX}/faults", self.configure_faults, methods=["PUT", "DELETE"]),
            Route(f"{_PREFIX}/deliveries", self.deliveries),
            Route(f"{_PREFIX}/webhooks", self.hold, methods=["PUT"]),
            Route(f"{_PREFIX}/webhooks/send", self.send, methods=["POST"]),
        ]

    async def overview(self, _request: Request) -> Response:
        world = self._actor.world
        told: Doc = {"now": world.now, "ahead_s": world.ahead_s, "objects": world.store.counts()}
        told["held"] = world.store.setting("held", default=False)
        told["endpoints"] = [shown(one) for one in world.find("webhook_endpoint")]
        return JSONResponse({**told, "faults": self._faults.configured()})

    async def forget(self, request: Request) -> Response:
        """Everything: objects, events, deliveries, remembered answers, faults, the clock."""
        self._actor.act(request, lambda world: world.store.clear())
        return JSONResponse({"status": "ok"})

    async def faults(self, _request: Request) -> Response:
        return JSONResponse({"configured": self._faults.configured(), "known_faults": WORDS})

    async def configure_faults(self, request: Request) -> Response:
        """`{"faults": [{"word": "answer_lost", "on": "POST /v1/refunds", "times": 1}]}` replaces all rules."""
        body = (await json_body(request) or {}) if request.method == "PUT" else {}
        try:
            self._faults.configure(body.get("faults", []))
        except ValueError as error:
            return JSONResponse({"detail": str(error)}, 400)
        return await self.faults(request)

    async def deliveries(self, request: Request) -> Response:
        """Oldest first, of one `state` if asked; `settled_within` seconds: after nothing is left to be sent."""
        query = request.query_params
        settled = await self._webhooks.settled(float(query.get("settled_within", 0)))
        return JSONResponse({"settled": settled, "deliveries": self._webhooks.deliveries(query.get("state"))})

    async def hold(self, request: Request) -> Response:
        """`{"held": true}`: webhooks are kept until `{"held": false}`."""
        held = bool((await json_body(request) or {}).get("held"))
        self._actor.act(request, lambda _world: self._webhooks.hold(held))
        return JSONResponse({"held": held})

    async def send(self, request: Request) -> Response:
        """`{"events": [ids in this order], "signed": "right"}`: now, whatever became of them; answered when done."""
        body = await json_body(request) or {}
        signed = body.get("signed", "right")
        if signed not in _SIGNED:
            return JSONResponse({"detail": f"signed is one of {', '.join(sorted(_SIGNED))}"}, 400)
        try:
            return JSONResponse({"sent": await self._webhooks.send(body.get("events", []), signed)})
        except StripeRefusal as refusal:
            return JSONResponse({"detail": str(refusal)}, refusal.status)

    def _changing(self, change: Change) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        async def changing(request: Request) -> Response:
            body = await json_body(request)
            given: Doc = body if isinstance(body, dict) else {}
            name = request.path_params.get("id", "")
            try:
                doc = self._actor.act(request, lambda world: change(world, name, given))
            except StripeRefusal as refusal:
                return JSONResponse({"detail": str(refusal), "error": refusal.error}, refusal.status)
            except (KeyError, TypeError) as error:
                return JSONResponse({"detail": f"not understood: {error!r}"}, 400)
            return JSONResponse(shown(doc))

        return changing
