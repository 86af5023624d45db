"""Payments, in our words: what is known of one at Stripe, what follows from it, and the port to there.

An event of Stripe is a hint. What follows is computed from `Facts`, which are read afresh, and every consequence is an
effect with a key of its own, made from the money object: whichever event comes first, twice or late brings it about.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from domain.offers import Conversion, Offer

# The objects from which a payment, a subscription or a saved method can be found. An event about anything else is
# nobody's money.
MONEY_OBJECTS = frozenset(
    {
        "checkout.session",
        "invoice",
        "payment_intent",
        "charge",
        "refund",
        "dispute",
        "review",
        "radar.early_fraud_warning",
        "credit_note",
        "subscription",
        "customer",
    }
)
TOP_UP = "top_up"  # the `purpose` in the metadata of our own automatic payments


# --- what Stripe says ---------------------------------------------------------------------------------------------
# Amounts are whole minor units of the currency, as Stripe has them.


class PurchaseKind(StrEnum):
    CHECKOUT = "checkout"
    INVOICE = "invoice"
    TOP_UP = "top_up"


class PurchaseState(StrEnum):
    AWAITING = "awaiting"  # a bank debit takes days
    PAID = "paid"
    FAILED = "failed"
    EXPIRED = "expired"
    VOID = "void"
    UNCOLLECTIBLE = "uncollectible"


@dataclass(frozen=True)
class Line:
    price_id: str | None
    lookup_key: str | None
    quantity: int
    amount: int  # after discounts, without tax; negative for unused time that is given back
    proration: bool = False


@dataclass(frozen=True)
class Refund:
    refund_id: str
    amount: int
    failed: bool  # or canceled: the money stayed here
    created: int  # Unix seconds


@dataclass(frozen=True)
class DisputeMovement:
    """What the dispute itself moved at Stripe; the fee is ours."""

    name: str  # withdrawn or reinstated, and withdrawn:2 when the amount changed
    movement: Movement


@dataclass(frozen=True)
class Dispute:
    dispute_id: str
    amount: int
    status: str
    movements: tuple[DisputeMovement, ...] = ()

    @property
    def open(self) -> bool:
        return self.status in {"needs_response", "under_review"}

    @property
    def lost(self) -> bool:
        return self.status == "lost"

    @property
    def restored(self) -> bool:
        return self.status in {"won", "warning_closed"}


@dataclass(frozen=True)
class CreditNote:
    credit_note_id: str
    amount: int  # credited after the payment and not as a refund: that one has an effect of its own
    voided: bool


@dataclass(frozen=True)
class Purchase:
    """Money that came in, or was to, with all that was taken back of it."""

    key: str  # of its grant: stripe:pi:..., stripe:cs:... or stripe:invoice:...
    kind: PurchaseKind
    source_id: str  # the session, invoice or payment intent
    customer_id: str | None
    currency: str
    state: PurchaseState
    paid: int  # with tax and all: what refunds are parts of
    value: int  # without tax, shipping and tips
    payment_intent_id: str | None = None
    references: tuple[str, ...] = ()  # the accounts that it names itself; believed in nothing, checked against the link
    pack: str | None = None  # likewise
    top_up_id: str | None = None
    lines: tuple[Line, ...] = ()
    billing_reason: str | None = None
    failed_attempts: int = 0
    action_required: bool = False
    out_of_band: bool = False
    under_review: bool = False
    fraud_warnings: tuple[str, ...] = ()
    refunds: tuple[Refund, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    credit_notes: tuple[CreditNote, ...] = ()


@dataclass(frozen=True)
class Subscription:
    subscription_id: str
    customer_id: str
    price_id: str | None
    lookup_key: str | None
    status: str
    cancel_at_period_end: bool
    currency: str | None
    period_starts_at: datetime | None
    period_ends_at: datetime | None
    created_at: datetime
    references: tuple[str, ...] = ()

    @property
    def entitles(self) -> bool:
        """Whether the account has the plan: late payers keep it until Stripe gives up."""
        return self.status in {"active", "trialing", "past_due"}


@dataclass(frozen=True)
class SavedMethod:
    customer_id: str
    payment_method_id: str
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What an event is about, as it is now. Nothing: an event that concerns nobody's money."""

    livemode: bool | None  # None: the object does not say
    purchase: Purchase | None = None
    subscription: Subscription | None = None
    method: SavedMethod | None = None
    customer_gone: str | None = None
    alarm: bool = False  # of our own Stripe account: people are to look at it


@dataclass(frozen=True)
class EventNotice:
    """The envelope of one event; nothing of its payload but what it names."""

    event_id: str
    type: str
    created: int  # Unix seconds
    livemode: bool
    account: str | None  # set for events of connected accounts
    object_type: str
    object_id: str


@dataclass(frozen=True)
class Movement:
    """A row of Stripe's own books: a balance transaction. Amounts are minor units, negative when they left."""

    movement_id: str
    kind: str  # charge, payment, refund, adjustment, payout, ...
    source_type: str  # the object behind it
    source_id: str
    amount: int
    fee: int
    currency: str
    created: int


# --- what follows -------------------------------------------------------------------------------------------------
# Amounts are whole micro-credits from here on.


@dataclass(frozen=True)
class Grant:
    key: str
    amount: int
    note: str
    conversion: Conversion


@dataclass(frozen=True)
class ClawBack:
    key: str
    amount: int


@dataclass(frozen=True)
class RestoreClawBack:
    key: str
    amount: int
    clawback_key: str


@dataclass(frozen=True)
class HoldDisputed:
    key: str
    amount: int
    dispute_id: str


@dataclass(frozen=True)
class EndDispute:
    key: str
    amount: int  # what was held
    dispute_id: str
    lost: bool


@dataclass(frozen=True)
class Freeze:
    key: str
    amount: int = 0


@dataclass(frozen=True)
class StopTopUps:
    key: str
    amount: int = 0


@dataclass(frozen=True)
class Remember:
    """It moves nothing: a notice for people."""

    key: str
    amount: int = 0
    note: str = ""


@dataclass(frozen=True)
class MovedOutside:
    """The leg at Stripe, with its fee: no credits of the account."""

    key: str
    movement: Movement
    amount: int = 0

    @property
    def note(self) -> str:
        return f"{self.movement.amount} {self.movement.currency} in minor units, fee {self.movement.fee}"


Effect = Grant | ClawBack | RestoreClawBack | HoldDisputed | EndDispute | Freeze | StopTopUps | Remember | MovedOutside


class Did(StrEnum):
    """What a recorded effect did."""

    GRANT = "grant"
    CLAW_BACK = "claw_back"
    RESTORE = "restore"
    DISPUTE_HOLD = "dispute_hold"
    DISPUTE_RESTORED = "dispute_restored"
    DISPUTE_LOST = "dispute_lost"
    FREEZE = "freeze"
    STOP_TOP_UPS = "stop_top_ups"
    REMEMBER = "remember"


@dataclass(frozen=True)
class Done:
    """An effect that was applied, as it was then: a later computation of the same one changes nothing."""

    did: Did
    amount: int


Recorded = Mapping[str, Done]  # by key: all effects of one purchase


def did_of(effect: Effect) -> Did:
    if isinstance(effect, EndDispute):
        return Did.DISPUTE_LOST if effect.lost else Did.DISPUTE_RESTORED
    return _DID[type(effect)]


_DID: dict[type[Effect], Did] = {
    Grant: Did.GRANT,
    ClawBack: Did.CLAW_BACK,
    RestoreClawBack: Did.RESTORE,
    HoldDisputed: Did.DISPUTE_HOLD,
    Freeze: Did.FREEZE,
    StopTopUps: Did.STOP_TOP_UPS,
    Remember: Did.REMEMBER,
    MovedOutside: Did.REMEMBER,
}


class Reason(StrEnum):
    """Why an event is parked."""

    CUSTOMER_UNKNOWN = "customer_unknown"  # the link may come
    PRICE_UNKNOWN = "price_unknown"  # the offers may be completed
    CURRENCY_UNKNOWN = "currency_unknown"
    OBJECT_UNKNOWN = "object_unknown"  # Stripe does not know, or not yet, what the event names
    MALFORMED = "malformed"  # an object of a form that we do not know
    UNDER_REVIEW = "under_review"
    OUT_OF_BAND = "out_of_band"
    TOO_MUCH = "too_much"  # beyond what one grant or balance may be
    CONFLICT = "conflict"  # it contradicts what was booked before
    FOREIGN_ACCOUNT = "foreign_account"  # it names another account than the one that its customer belongs to
    MISMATCH = "mismatch"  # the session says other things than its lines
    WRONG_MODE = "wrong_mode"  # test money on a live deployment, or the reverse
    STRIPE_ACCOUNT = "stripe_account"  # an event of somebody else's Stripe account

    @property
    def passes(self) -> bool:
        """Whether time or a change of data may mend it; the others wait for a person."""
        return self in {
            Reason.CUSTOMER_UNKNOWN,
            Reason.PRICE_UNKNOWN,
            Reason.CURRENCY_UNKNOWN,
            Reason.OBJECT_UNKNOWN,
            Reason.UNDER_REVIEW,
        }


class Parked(Exception):
    """The event cannot be applied now. It is kept, listed, and tried again."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


# --- the port -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReturnTo:
    """Where the customer's browser goes after Stripe's page."""

    success_url: str
    cancel_url: str


@dataclass(frozen=True)
class Charged:
    """An automatic payment that was asked for. `paid` None: it is under way, an event will tell."""

    payment_intent_id: str
    paid: bool | None


class Payments(Protocol):
    """The payment service. Every call may raise PaymentsUnavailable; repeated with the same ids it acts once."""

    async def look(self, event: EventNotice) -> Facts:
        """What the event is about, read afresh. Raises Parked when the object is not there."""
        ...

    async def create_customer(self, account_id: str, name: str, email: str | None) -> str: ...

    async def checkout_pack(self, account_id: str, customer_id: str, offer: Offer, to: ReturnTo) -> str:
        """The address of a page where the customer pays. So are the next two."""
        ...

    async def checkout_subscription(self, account_id: str, customer_id: str, offer: Offer, to: ReturnTo) -> str: ...

    async def checkout_method(self, account_id: str, customer_id: str, currency: str, to: ReturnTo) -> str: ...

    async def portal(self, customer_id: str, return_url: str) -> str: ...

    async def charge(
        self, top_up_id: str, account_id: str, customer_id: str, payment_method_id: str, amount: int, currency: str
    ) -> Charged:
        """Take minor units from a saved method, once per top-up id. A refusal by the bank is an answer."""
        ...

    def events(self, since: datetime) -> AsyncIterator[EventNotice]:
        """Newest first; Stripe keeps them for 30 days."""
        ...

    def movements(self, since: datetime) -> AsyncIterator[Movement]: ...


class WebhookVerifier(Protocol):
    def verify(self, body: bytes, signature: str | None) -> EventNotice:
        """Raises InvalidInput when no current secret signed these bytes within `TOLERANCE`."""
        ...


TOLERANCE = timedelta(seconds=300)
