"""What is sold for money, and what money is worth in credits. Integers only; one division, half to even, at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Currency:
    """`decimals` of its minor unit (0 yen, 2 dollar, 3 dinar) and what one whole unit is worth."""

    decimals: int
    microcredits: int

    def worth(self, minor: int) -> int:
        """Whole micro-credits for an amount in minor units."""
        return half_even(minor * self.microcredits, self._minor_units)

    def minor(self, microcredits: int) -> int:
        """The least amount in minor units that is worth at least this much."""
        return -(-microcredits * self._minor_units // self.microcredits)

    @property
    def _minor_units(self) -> int:
        """Of one whole unit."""
        return int(10**self.decimals)


@dataclass(frozen=True)
class Conversion:
    """How the money of a payment became credits: by prices that bring a number of them, and by its currency's rate."""

    currency: str
    rate: Currency
    value: int  # in minor units: what was paid, without tax, beside those prices; negative where it was paid back
    offers: Mapping[str, int]  # what brought a number of credits, and how many of it
    fixed_microcredits: int

    @property
    def microcredits(self) -> int:
        return self.fixed_microcredits + max(0, self.rate.worth(self.value))


@dataclass(frozen=True)
class Offer:
    """One thing with a price at Stripe. `price` is the id of that price or its lookup key, there as here.

    `microcredits` is what one of it brings; None: whatever was paid for it, without tax, is worth.
    """

    name: str
    label: str
    price: str
    microcredits: int | None
    plan: str | None = None  # a subscription: the plan of the account while it lasts


@dataclass(frozen=True)
class Policy:
    """What a deployment decides for itself about payments."""

    packs_need_subscription: bool = True
    manual_invoices_grant: bool = False
    out_of_band_grants: bool = False  # invoices that somebody marked as paid without a payment
    reviews_delay_grants: bool = False
    disputes_freeze: bool = False
    fraud_warnings_freeze: bool = False


@dataclass(frozen=True)
class Offers:
    packs: Mapping[str, Offer]
    subscriptions: Mapping[str, Offer]
    currencies: Mapping[str, Currency]  # by the three lower-case letters that Stripe uses
    top_up_currency: str
    policy: Policy = Policy()

    def priced(self, price_id: str | None, lookup_key: str | None) -> Offer | None:
        """The offer behind a price."""
        every = {offer.price: offer for offer in (*self.packs.values(), *self.subscriptions.values())}
        return every.get(price_id or "") or every.get(lookup_key or "")


def half_even(numerator: int, denominator: int) -> int:
    """The nearest whole number; of two equally near ones, the even one. The denominator is above zero."""
    whole, rest = divmod(numerator, denominator)
    up = 2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1)
    return whole + up
