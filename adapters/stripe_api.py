"""The payment service: Stripe, through its own package. Every call names what it is for, so a repeat acts once.

`look` reads what an event is about and all that hangs on it: which event led there makes no difference to the answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import stripe

from adapters import stripe_objects as read
from adapters.stripe_objects import Doc, id_of
from domain.billing import (
    MONEY_OBJECTS,
    TOP_UP,
    Charged,
    Dispute,
    EventNotice,
    Facts,
    Movement,
    Parked,
    Purchase,
    Reason,
    Refund,
    ReturnTo,
)
from domain.errors import PaymentsUnavailable
from domain.offers import Offer

Taken = tuple[tuple[Refund, ...], tuple[Dispute, ...]]

_ACCOUNT_ALARMS = ("account.", "capability.", "person.")
_PAGE = 100


class StripeApi:
    def __init__(self, key: str, *, base_url: str, timeout: timedelta = timedelta(seconds=10)) -> None:
        self._client = stripe.StripeClient(
            key,
            base_addresses={"api": base_url},
            http_client=stripe.HTTPXClient(timeout=timeout.total_seconds()),
            max_network_retries=0,  # the workflow repeats
        )
        self._v1 = self._client.v1
        self._prices: dict[str, str | None] = {}  # lookup keys by price id; an id keeps its price for ever
        self._lookers: dict[str, Callable[[str], Awaitable[Facts]]] = {
            "checkout.session": self._session,
            "invoice": self._invoice,
            "payment_intent": self._intent,
            "charge": self._charge,
            "refund": lambda found: self._behind(self._v1.refunds.retrieve_async(found)),
            "dispute": lambda found: self._behind(self._v1.disputes.retrieve_async(found)),
            "review": lambda found: self._behind(self._v1.reviews.retrieve_async(found)),
            "radar.early_fraud_warning": self._warning,
            "credit_note": self._credit_note,
            "subscription": self._subscription,
            "customer": self._customer,
        }
        assert set(self._lookers) == MONEY_OBJECTS

    # --- reading

    async def look(self, event: EventNotice) -> Facts:
        if event.type.startswith(_ACCOUNT_ALARMS):
            return Facts(event.livemode, alarm=True)
        looker = self._lookers.get(event.object_type)
        if looker is None:
            return Facts(event.livemode)
        try:
            return await looker(event.object_id)
        except (KeyError, IndexError, TypeError, ValueError) as unread:
            raise Parked(Reason.MALFORMED, f"The {event.object_type} has a form that we do not know.") from unread

    async def _session(self, session_id: str) -> Facts:
        session = await _one(self._v1.checkout.sessions.retrieve_async(session_id))
        livemode = bool(session["livemode"])
        if session["mode"] == "payment":
            return Facts(livemode, purchase=await self._session_purchase(session))
        if session["mode"] == "subscription" and (subscription_id := id_of(session.get("subscription"))):
            return await self._subscription(subscription_id)
        if session["mode"] == "setup" and (intent_id := id_of(session.get("setup_intent"))):
            intent = await _one(self._v1.setup_intents.retrieve_async(intent_id))
            return Facts(livemode, method=read.saved_method(session, intent))
        return Facts(livemode)

    async def _session_purchase(self, session: Doc) -> Purchase:
        intent_id = id_of(session.get("payment_intent"))
        intent = await _one(self._v1.payment_intents.retrieve_async(intent_id)) if intent_id else None
        lines = await _all(self._v1.checkout.sessions.line_items.list_async(session["id"], {"limit": _PAGE}))
        return read.session_purchase(session, lines, intent, await self._taken(intent_id))

    async def _invoice(self, invoice_id: str) -> Facts:
        invoice = await _one(self._v1.invoices.retrieve_async(invoice_id, {"expand": ["payments"]}))
        keys = {price: await self._lookup_key(price) for price in read.price_ids(invoice)}
        payments = (invoice.get("payments") or {}).get("data", [])
        intents = [id_of(one["payment"].get("payment_intent")) for one in payments if one["status"] != "canceled"]
        intent_id = next(filter(None, intents), None)
        notes = await _all(self._v1.credit_notes.list_async({"invoice": invoice_id, "limit": _PAGE}))
        purchase = read.invoice_purchase(invoice, keys, intent_id, await self._taken(intent_id), notes)
        if purchase.payment_intent_id and invoice["status"] == "open":
            intent = await _one(self._v1.payment_intents.retrieve_async(purchase.payment_intent_id))
            purchase = replace(purchase, action_required=intent["status"] == "requires_action")
        details = (invoice.get("parent") or {}).get("subscription_details") or {}
        if subscription_id := id_of(details.get("subscription")):
            subscription = await self._subscription(subscription_id)
            return replace(subscription, purchase=purchase)
        return Facts(bool(invoice["livemode"]), purchase=purchase)

    async def _intent(self, intent_id: str) -> Facts:
        """Whatever the payment is for: a top-up, an invoice, a session; or nothing of ours."""
        intent = await _one(self._v1.payment_intents.retrieve_async(intent_id))
        livemode = bool(intent["livemode"])
        if read.is_top_up(intent):
            return Facts(livemode, purchase=read.top_up_purchase(intent, await self._taken(intent_id)))
        paying: Any = {"payment": {"type": "payment_intent", "payment_intent": intent_id}, "limit": 1}
        if paid := (await _one(self._v1.invoice_payments.list_async(paying)))["data"]:
            return await self._invoice(id_of(paid[0]["invoice"]) or "")
        sessions = await _one(self._v1.checkout.sessions.list_async({"payment_intent": intent_id, "limit": 1}))
        if found := sessions["data"]:
            return Facts(livemode, purchase=await self._session_purchase(found[0]))
        return Facts(livemode)

    async def _charge(self, charge_id: str) -> Facts:
        return await self._behind(self._v1.charges.retrieve_async(charge_id))

    async def _behind(self, asked: Awaitable[Any]) -> Facts:
        """The payment behind a charge, refund, dispute or review."""
        found = await _one(asked)
        if intent_id := id_of(found.get("payment_intent")):
            return await self._intent(intent_id)
        if charge_id := id_of(found.get("charge")):
            return await self._charge(charge_id)
        return Facts(found.get("livemode"))

    async def _warning(self, warning_id: str) -> Facts:
        facts = await self._behind(self._v1.radar.early_fraud_warnings.retrieve_async(warning_id))
        if facts.purchase is None:
            return facts
        return replace(facts, purchase=replace(facts.purchase, fraud_warnings=(warning_id,)))

    async def _credit_note(self, credit_note_id: str) -> Facts:
        note = await _one(self._v1.credit_notes.retrieve_async(credit_note_id))
        return await self._invoice(id_of(note["invoice"]) or "")

    async def _subscription(self, subscription_id: str) -> Facts:
        found = await _one(self._v1.subscriptions.retrieve_async(subscription_id))
        return Facts(bool(found["livemode"]), subscription=read.subscription(found))

    async def _customer(self, customer_id: str) -> Facts:
        """Only its end concerns us: an account is never looked for by name or address."""
        found = await _one(self._v1.customers.retrieve_async(customer_id))
        gone = customer_id if found.get("deleted") else None
        return Facts(found.get("livemode"), customer_gone=gone)

    async def _taken(self, intent_id: str | None) -> Taken:
        """All refunds and disputes of a payment: a charge carries sums only."""
        if intent_id is None:
            return (), ()
        by: Any = {"payment_intent": intent_id, "limit": _PAGE}
        refunds = await _all(self._v1.refunds.list_async(by))
        disputes = await _all(self._v1.disputes.list_async(by))
        return tuple(map(read.refund, refunds)), tuple(map(read.dispute, disputes))

    async def _lookup_key(self, price_id: str) -> str | None:
        if price_id not in self._prices:
            self._prices[price_id] = (await _one(self._v1.prices.retrieve_async(price_id))).get("lookup_key")
        return self._prices[price_id]

    async def events(self, since: datetime) -> AsyncIterator[EventNotice]:
        params: Any = {"created": {"gte": int(since.timestamp())}, "limit": _PAGE}
        async for found in _each(self._v1.events.list_async(params)):
            yield read.notice_of(found)

    async def movements(self, since: datetime) -> AsyncIterator[Movement]:
        params: Any = {"created": {"gte": int(since.timestamp())}, "limit": _PAGE}
        async for found in _each(self._v1.balance_transactions.list_async(params)):
            yield read.movement(found)

    # --- asking

    async def create_customer(self, account_id: str, name: str, email: str | None) -> str:
        params: Any = {"name": name, "metadata": {"account_id": account_id}} | ({"email": email} if email else {})
        made = await _asked(self._v1.customers.create_async(params, {"idempotency_key": f"customer:{account_id}"}))
        return str(made["id"])

    async def checkout_pack(self, account_id: str, customer_id: str, offer: Offer, to: ReturnTo) -> str:
        named = {"account_id": account_id, "pack": offer.name}
        return await self._checkout(
            account_id, customer_id, to, mode="payment", line_items=await self._one_of(offer), metadata=named
        )

    async def checkout_subscription(self, account_id: str, customer_id: str, offer: Offer, to: ReturnTo) -> str:
        named = {"account_id": account_id}
        return await self._checkout(
            account_id,
            customer_id,
            to,
            mode="subscription",
            line_items=await self._one_of(offer),
            metadata=named,
            subscription_data={"metadata": named},
        )

    async def checkout_method(self, account_id: str, customer_id: str, currency: str, to: ReturnTo) -> str:
        named = {"account_id": account_id}
        return await self._checkout(account_id, customer_id, to, mode="setup", currency=currency, metadata=named)

    async def portal(self, customer_id: str, return_url: str) -> str:
        made = self._v1.billing_portal.sessions.create_async({"customer": customer_id, "return_url": return_url})
        return str((await _asked(made))["url"])

    async def charge(
        self, top_up_id: str, account_id: str, customer_id: str, payment_method_id: str, amount: int, currency: str
    ) -> Charged:
        params: Any = {
            "amount": amount,
            "currency": currency,
            "customer": customer_id,
            "payment_method": payment_method_id,
            "off_session": True,
            "confirm": True,
            "metadata": {"purpose": TOP_UP, "top_up_id": top_up_id, "account_id": account_id},
        }
        options: Any = {"idempotency_key": f"top-up:{top_up_id}"}
        try:
            made = await _one(self._v1.payment_intents.create_async(params, options), cards=True)
        except stripe.CardError as refused:
            error: Any = refused.json_body or {}
            intent = error.get("error", {}).get("payment_intent") or {}
            return Charged(str(intent.get("id", "")), paid=False)
        status = made["status"]
        over = {"succeeded": True, "canceled": False, "requires_payment_method": False, "requires_action": False}
        return Charged(str(made["id"]), over.get(status))

    async def _checkout(self, account_id: str, customer_id: str, to: ReturnTo, **members: Any) -> str:
        params: Any = {
            "customer": customer_id,
            "client_reference_id": account_id,
            "success_url": to.success_url,
            "cancel_url": to.cancel_url,
            **members,
        }
        return str((await _asked(self._v1.checkout.sessions.create_async(params)))["url"])

    async def _one_of(self, offer: Offer) -> list[dict[str, Any]]:
        """An offer names the price itself, or its lookup key."""
        if offer.price.startswith("price_"):
            return [{"price": offer.price, "quantity": 1}]
        found = await _asked(self._v1.prices.list_async({"lookup_keys": [offer.price], "active": True, "limit": 1}))
        if not found["data"]:
            raise PaymentsUnavailable(f"Stripe has no active price with the lookup key {offer.price}.")
        return [{"price": found["data"][0]["id"], "quantity": 1}]


async def _one(asked: Awaitable[Any], *, cards: bool = False) -> Doc:
    """An answer as plain data. Raises Parked for what is not there, PaymentsUnavailable for every other refusal; with
    `cards`, a CardError is the caller's."""
    try:
        answer: Doc = (await asked).to_dict()
    except stripe.CardError:
        if cards:
            raise
        raise PaymentsUnavailable("Stripe refused a card where none was charged.") from None
    except stripe.StripeError as error:
        raise _named(error) from error
    return answer


async def _asked(asked: Awaitable[Any]) -> Doc:
    """The same where a customer waits. Raises PaymentsUnavailable only."""
    try:
        return await _one(asked)
    except Parked as absent:
        raise PaymentsUnavailable(absent.message) from absent


async def _each(asked: Awaitable[Any]) -> AsyncIterator[Doc]:
    try:
        async for found in (await asked).auto_paging_iter():
            yield found.to_dict()
    except stripe.StripeError as error:
        raise _named(error) from error


async def _all(asked: Awaitable[Any]) -> list[Doc]:
    return [found async for found in _each(asked)]


def _named(error: stripe.StripeError) -> Exception:
    if isinstance(error, stripe.InvalidRequestError) and error.http_status == 404:
        return Parked(Reason.OBJECT_UNKNOWN, "Stripe does not know the object that the event names.")
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        return PaymentsUnavailable("Stripe refuses our key.")
    if isinstance(error, stripe.RateLimitError):
        return PaymentsUnavailable("Stripe asks us to slow down.", retry_after=timedelta(seconds=2))
    if isinstance(error, stripe.InvalidRequestError):
        return PaymentsUnavailable(f"Stripe refused the request: {error.code or 'invalid'}.")
    return PaymentsUnavailable("Stripe does not answer.")
