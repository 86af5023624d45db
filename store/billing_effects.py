"""Applies what is known of a payment, in the caller's transaction: what was done before decides what is still owed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from domain.billing import (
    ClawBack,
    Did,
    Done,
    Effect,
    EndDispute,
    Facts,
    Freeze,
    Grant,
    HoldDisputed,
    MovedOutside,
    Movement,
    Parked,
    Purchase,
    PurchaseKind,
    PurchaseState,
    Reason,
    Remember,
    RestoreClawBack,
    SavedMethod,
    StopTopUps,
    Subscription,
    did_of,
)
from domain.billing_rules import effects_of, refuse_another
from domain.errors import ParameterOutOfRange
from domain.offers import Offers
from domain.plans import FALLBACK
from store import billing, ledger, ledger_payments, sql, top_ups
from store.billing import Booked
from store.ledger_payments import DisputeOutcome

_QUERIES = sql.load("billing")
MISSING_HERE = "missing_here"
_log = logging.getLogger(__name__)


class LookedTooEarly(Exception):
    """Somebody applied a later look at the same object: look again."""


async def apply(
    conn: AsyncConnection[Any], event_id: str, facts: Facts, *, looked_at: datetime, offers: Offers
) -> list[Effect]:
    """Everything that the facts still owe; what was applied now. Two at one payment wait for each other.

    Raises Parked and then nothing may be kept of the transaction; LookedTooEarly likewise.
    """
    applied: list[Effect] = []
    if facts.purchase is not None:
        applied = await _purchase(conn, event_id, facts.purchase, looked_at, offers)
    if facts.subscription is not None:
        await _subscription(conn, facts.subscription, looked_at, offers)
    if facts.method is not None:
        await _method(conn, facts.method)
    if facts.customer_gone is not None:
        await _customer_gone(conn, facts.customer_gone)
    return applied


async def _purchase(
    conn: AsyncConnection[Any], event_id: str, purchase: Purchase, looked_at: datetime, offers: Offers
) -> list[Effect]:
    locked = await conn.execute(
        _QUERIES["lock_payment"],
        {
            "payment_key": purchase.key,
            "kind": purchase.kind,
            "source_id": purchase.source_id,
            "payment_intent_id": purchase.payment_intent_id,
            "state": purchase.state,
            "currency": purchase.currency,
            "paid_minor": purchase.paid,
            "looked_at": looked_at,
        },
    )
    row = await locked.fetchone()
    if row is None:
        raise LookedTooEarly
    account_id = row[0] or await billing.account_of(conn, purchase.customer_id)
    effects = effects_of(purchase, account_id, await recorded(conn, purchase.key), offers)
    if account_id is None:  # and so there is nothing to do: else it would be parked
        return []
    await conn.execute(_QUERIES["payment_is_of"], {"account_id": account_id, "payment_key": purchase.key})
    for effect in effects:
        await _apply(conn, account_id, purchase.key, effect)
        await conn.execute(
            _QUERIES["record_effect"],
            {
                "key": effect.key,
                "payment_key": purchase.key,
                "account_id": account_id,
                "did": did_of(effect),
                "amount": effect.amount,
                "note": getattr(effect, "note", ""),
                "event_id": event_id,
            },
        )
        if isinstance(effect, Grant):
            await _record_conversion(conn, effect, purchase.paid)
        _log.info("stripe_effect key=%s did=%s account=%s", effect.key, did_of(effect), account_id)
    if purchase.kind is PurchaseKind.TOP_UP:
        await _top_up(conn, purchase)
    return effects


async def keep_movement(conn: AsyncConnection[Any], payment_key: str | None, movement: Movement) -> None:
    """One row of Stripe's books, once; what it belongs to may become known later."""
    await conn.execute(
        _QUERIES["keep_movement"],
        {
            "movement_id": movement.movement_id,
            "kind": movement.kind,
            "source_type": movement.source_type or None,
            "source_id": movement.source_id or None,
            "payment_key": payment_key,
            "currency": movement.currency,
            "amount": movement.amount,
            "fee": movement.fee,
            "created": movement.created,
        },
    )


async def recorded(conn: AsyncConnection[Any], payment_key: str) -> Mapping[str, Done]:
    """What was done about a payment so far, in its order."""
    rows = await (await conn.execute(_QUERIES["effects"], {"payment_key": payment_key})).fetchall()
    return {key: Done(Did(did), amount) for key, did, amount in rows}


def difference(
    movement: Movement,
    purchase: Purchase,
    booked: Booked | None,
    account_id: str | None,
    recorded: Mapping[str, Done],
    offers: Offers,
) -> tuple[str, str] | None:
    """The class of a difference between a row of Stripe's books and ours, and what it is; None when they agree."""
    where = f"{movement.source_type} {movement.source_id} of {movement.amount} {movement.currency}"
    if booked is None:
        return MISSING_HERE, f"Nothing is booked here for the {where}."
    if movement.source_type == "charge" and movement.currency != booked.currency:
        return "currency", f"Booked in {booked.currency}: the {where}."
    if movement.source_type == "charge" and movement.amount != booked.paid_minor:
        return "amount", f"Booked with {booked.paid_minor}: the {where}."
    try:
        if effects_of(purchase, account_id, recorded, offers):
            return MISSING_HERE, f"Not everything is booked here that follows from the {where}."
    except Parked as parked:
        return MISSING_HERE, f"{parked.message} It is about the {where}."
    return None


async def _apply(conn: AsyncConnection[Any], account_id: str, payment_key: str, effect: Effect) -> None:
    """Through the ledger's operations and keys; a contradiction is for people."""
    match effect:
        case Grant(key, amount, note):
            word = await _grant(conn, account_id, key, amount, note)
        case ClawBack(key, amount):
            word = await ledger_payments.claw_back(
                conn, account_id=account_id, amount=amount, payment_key=payment_key, key=key
            )
        case RestoreClawBack(key, _, clawback_key):
            word = await ledger_payments.restore_clawback(
                conn, account_id=account_id, clawback_key=clawback_key, key=key
            )
        case HoldDisputed(key, amount, dispute_id):
            word = await ledger_payments.dispute_hold(
                conn, account_id=account_id, amount=amount, dispute=dispute_id, payment_key=payment_key, key=key
            )
        case EndDispute(key, _, dispute_id, lost):
            word = await ledger_payments.dispute_end(
                conn,
                account_id=account_id,
                dispute=dispute_id,
                outcome=DisputeOutcome.LOST if lost else DisputeOutcome.RESTORED,
                key=key,
            )
        case Freeze():
            await conn.execute(_QUERIES["freeze"], {"account_id": account_id})
            return
        case StopTopUps(key):
            await top_ups.stop(conn, account_id, because=key)
            return
        case MovedOutside(_, movement):
            await keep_movement(conn, payment_key, movement)
            return
        case Remember():
            return
    if word == "conflict":
        raise Parked(Reason.CONFLICT, f"The ledger has another entry under the key {effect.key}.")


async def _grant(conn: AsyncConnection[Any], account_id: str, key: str, amount: int, note: str) -> str:
    try:
        return await ledger.grant(
            conn, account_id=account_id, amount=amount, source=ledger.GrantSource.PAYMENT, key=key, note=note
        )
    except ParameterOutOfRange as beyond:
        raise Parked(Reason.TOO_MUCH, beyond.message) from beyond


async def _record_conversion(conn: AsyncConnection[Any], granted: Grant, paid: int) -> None:
    """From which money the credits came, at which rate: those of the day, whatever becomes of the list of offers."""
    converted = granted.conversion
    await conn.execute(
        _QUERIES["record_conversion"],
        {
            "key": granted.key,
            "currency": converted.currency,
            "decimals": converted.rate.decimals,
            "unit_micros": converted.rate.microcredits,
            "paid_minor": paid,
            "value_minor": converted.value,
            "fixed_micros": converted.fixed_microcredits,
            "offers": Jsonb(dict(converted.offers)),
        },
    )


async def _top_up(conn: AsyncConnection[Any], purchase: Purchase) -> None:
    """It has ended: the next one may begin, and after a refusal by the bank none does until somebody says so."""
    if purchase.state is PurchaseState.AWAITING:
        return
    paid = purchase.state is PurchaseState.PAID
    await top_ups.ended(conn, purchase.top_up_id, purchase.source_id, paid=paid)


async def _subscription(conn: AsyncConnection[Any], found: Subscription, looked_at: datetime, offers: Offers) -> None:
    account_id = await billing.account_of(conn, found.customer_id)
    if account_id is None:
        raise Parked(Reason.CUSTOMER_UNKNOWN, f"No account is linked to the customer {found.customer_id}.")
    refuse_another(account_id, found.references)
    offer = offers.priced(found.price_id, found.lookup_key)
    if offer is None or offer.plan is None:
        raise Parked(Reason.PRICE_UNKNOWN, f"The price {found.price_id} is of no subscription in the list of offers.")
    parameters = {
        "subscription_id": found.subscription_id,
        "account_id": account_id,
        "customer_id": found.customer_id,
        "plan": offer.plan,
        "status": found.status,
        "cancel_at_period_end": found.cancel_at_period_end,
        "currency": found.currency,
        "period_starts_at": found.period_starts_at,
        "period_ends_at": found.period_ends_at,
        "created_at": found.created_at,
        "looked_at": looked_at,
    }
    kept = await conn.execute(_QUERIES["keep_subscription"], parameters)
    if kept.rowcount == 0:
        raise LookedTooEarly
    await conn.execute(_QUERIES["entitle"], {"account_id": account_id, "fallback": FALLBACK})


async def _method(conn: AsyncConnection[Any], method: SavedMethod) -> None:
    account_id = await billing.account_of(conn, method.customer_id)
    if account_id is None:
        raise Parked(Reason.CUSTOMER_UNKNOWN, f"No account is linked to the customer {method.customer_id}.")
    refuse_another(account_id, method.references)
    await top_ups.save_method(conn, account_id, method.payment_method_id)


async def _customer_gone(conn: AsyncConnection[Any], customer_id: str) -> None:
    account_id = await billing.account_of(conn, customer_id)
    await billing.customer_gone(conn, customer_id)
    if account_id is not None:
        await top_ups.stop(conn, account_id, because="The customer was deleted at Stripe.")
