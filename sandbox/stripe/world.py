"""The state of the simulated Stripe as its rules see it: objects with ids, a clock that can be moved, events."""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Callable
from typing import Any

from sandbox.stripe import credentials
from sandbox.stripe.problems import missing
from sandbox.stripe.store import Doc, Store

MAIN_CLOCK = ""  # the name of the clock that all have who are on no test clock
_ALPHABET = string.ascii_letters + string.digits
_PREFIXES = {
    "account": "acct_1", "balance_transaction": "txn_3", "billing_portal.session": "bps_1", "charge": "ch_3",
    "checkout.session": "cs_test_a1", "coupon": "", "credit_note": "cn_1", "credit_note_line_item": "cnli_1",
    "customer": "cus_", "dispute": "du_1", "event": "evt_1", "invoice": "in_1", "invoice_payment": "inpay_1",
    "invoiceitem": "ii_1", "item": "li_1", "line_item": "il_1", "payment_intent": "pi_3", "payment_method": "pm_1",
    "payout": "po_1", "price": "price_1", "product": "prod_", "radar.early_fraud_warning": "issfr_1", "refund": "re_3",
    "review": "prv_1", "setup_intent": "seti_1", "subscription": "sub_1", "subscription_item": "si_",
    "test_helpers.test_clock": "clock_1", "webhook_endpoint": "we_1",
}  # fmt: skip
# what an object only shows when it is asked for by expand
INCLUDABLE = {"charge": {"refunds"}, "checkout.session": {"line_items"}, "invoice": {"payments"}}
_NO_LIVEMODE = {"account", "balance_transaction", "credit_note_line_item", "item", "refund", "subscription_item"}


class World:
    """One per process; `request_id`, `key` and `base_url` are those of the request under way."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.request_id: str | None = None
        self.key: str | None = None
        self.base_url = ""
        self.on_event: Callable[[Doc], None] = lambda _event: None
        self._frozen: int | None = None

    # the clock

    @property
    def now(self) -> int:
        """Unix seconds on the main clock, which runs ahead of the machine's by what it was advanced."""
        return int(time.time()) + self.ahead_s if self._frozen is None else self._frozen

    @property
    def ahead_s(self) -> int:
        return int(self.store.setting("ahead_s", 0))

    def run_ahead(self, seconds: int) -> None:
        self.store.set_setting("ahead_s", seconds)

    def freeze(self, at: int | None) -> None:
        """While something happens that was due at a past moment; None: the clock runs again."""
        self._frozen = at

    def clock_of(self, customer: str | None) -> str:
        doc = self.store.get(customer) if customer else None
        return str((doc or {}).get("test_clock") or MAIN_CLOCK)

    def now_of(self, customer: str | None) -> int:
        clock = self.store.get(self.clock_of(customer))
        return int(clock["frozen_time"]) if clock else self.now

    # objects

    def new(self, kind: str, members: Doc, *, object_id: str | None = None, created: int | None = None) -> Doc:
        """Keep a new object; its id is Stripe's prefix and random letters unless given."""
        doc: Doc = {
            "id": object_id or new_id(kind),
            "object": kind,
            "created": self.now if created is None else created,
        }
        if kind not in _NO_LIVEMODE:
            doc["livemode"] = False
        if "date" in members:  # what an invoice item calls it
            del doc["created"]
        doc |= members
        self.store.put(doc)
        return doc

    def save(self, doc: Doc, changes: Doc | None = None) -> Doc:
        doc.update(changes or {})
        self.store.put(doc)
        return doc

    def get(self, kind: str, object_id: Any, param: str | None = None) -> Doc:
        """Raises a refusal; `param` names the parameter that carried the id, None: the path did."""
        doc = self.store.get(str(object_id))
        if doc is None or doc["object"] != kind:
            raise missing(kind, str(object_id), param)
        return doc

    def find(self, kind: str, **equal: Any) -> list[Doc]:
        """Oldest first."""
        return self.store.find(kind, equal, oldest_first=True)

    # timers

    def wake(self, doc: Doc, word: str, at: int | None, customer: str | None) -> None:
        """Call the rule `word` on this object at that moment of its customer's clock; None: not any more."""
        if at is None:
            self.store.drop_timers(doc["id"], word)
        else:
            self.store.set_timer(doc["id"], word, at, self.clock_of(customer))

    # events

    def happened(self, event_type: str, doc: Doc, previous: Doc | None = None) -> Doc:
        """Record an event with the object as it is now; whoever listens is told after the request."""
        data: Doc = {"object": shown(doc)}
        if previous is not None:
            data["previous_attributes"] = previous
        event = self.new(
            "event",
            {
                "api_version": credentials.API_VERSION,
                "data": data,
                "pending_webhooks": 0,
                "request": {"id": self.request_id, "idempotency_key": self.key},
                "type": event_type,
            },
        )
        self.on_event(event)
        return event


def new_id(kind: str) -> str:
    prefix = _PREFIXES[kind]
    length = {"customer": 14, "product": 14, "subscription_item": 14, "coupon": 8, "checkout.session": 56}.get(kind, 23)
    return prefix + token(length)


def token(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def shown(value: Any) -> Any:
    """The object as an answer or an event shows it: without our own members and what only expand shows."""
    if isinstance(value, dict):
        kind = value.get("object")
        hidden = INCLUDABLE.get(kind, set()) if isinstance(kind, str) else set()
        return {name: shown(one) for name, one in value.items() if not name.startswith("_") and name not in hidden}
    if isinstance(value, list):
        return [shown(one) for one in value]
    return value


def listed(docs: list[Doc], url: str, *, has_more: bool = False) -> Doc:
    return {"object": "list", "data": docs, "has_more": has_more, "url": url}


def with_metadata(doc: Doc, given: Doc | None) -> Doc:
    """The metadata after an update: an empty value removes its key."""
    merged = {**(doc.get("metadata") or {}), **(given or {})}
    return {name: value for name, value in merged.items() if value != ""}
