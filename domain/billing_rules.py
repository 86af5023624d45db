"""From a purchase, and what was done about it before, to the effects that are still owed.

The order of events plays no part: whatever was recorded stays as it was, and what is missing is computed from the whole
purchase. Shares of refunds and disputes are cut so that together they never exceed what was granted (INV-18); while a
dispute holds everything, refunds wait for its end. A dispute whose amount or room changes while it is open is set aside
anew.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import count

from domain.billing import (
    ClawBack,
    Did,
    Dispute,
    Done,
    Effect,
    EndDispute,
    Freeze,
    Grant,
    HoldDisputed,
    MovedOutside,
    Parked,
    Purchase,
    PurchaseKind,
    PurchaseState,
    Reason,
    Recorded,
    Remember,
    RestoreClawBack,
    StopTopUps,
    did_of,
)
from domain.offers import Conversion, Offers, Policy
from domain.pricing import AMOUNT_MICROCREDITS_MAX


def effects_of(purchase: Purchase, account_id: str | None, recorded: Recorded, offers: Offers) -> list[Effect]:
    """What is owed now, in the order in which it is to be applied. Raises Parked."""
    owed = _Owed(purchase, dict(recorded))
    owed.grant(account_id, offers)
    owed.undo()
    owed.take_back()
    owed.dispute(offers.policy)
    owed.notice(offers.policy)
    return owed.effects


def conversion(purchase: Purchase, offers: Offers) -> Conversion:
    """The credits of a purchase: by its prices where they bring a fixed number, else by what was paid. Here ends money
    of other units (U7). Raises Parked for a currency or price that is in no list."""
    currency = offers.currencies.get(purchase.currency)
    if currency is None:
        raise Parked(Reason.CURRENCY_UNKNOWN, f"The currency {purchase.currency} is not in the list of currencies.")
    fixed, by_value = 0, purchase.value if purchase.kind is PurchaseKind.TOP_UP else 0
    bought = Counter[str]()
    for line in purchase.lines:
        offer = offers.priced(line.price_id, line.lookup_key)
        if offer is None and not line.proration:
            raise Parked(Reason.PRICE_UNKNOWN, f"The price {line.price_id} is in no list of offers.")
        if line.proration or offer is None or offer.microcredits is None:
            by_value += line.amount
        else:
            fixed += offer.microcredits * line.quantity
            bought[offer.name] += line.quantity
    converted = Conversion(purchase.currency, currency, by_value, bought, fixed)
    if converted.microcredits > AMOUNT_MICROCREDITS_MAX:
        raise Parked(Reason.TOO_MUCH, "The purchase is worth more credits than one grant may have.")
    return converted


def refuse_another(account_id: str, references: tuple[str, ...]) -> None:
    """Raises Parked when a money object names an account that its customer does not belong to."""
    if any(reference != account_id for reference in references):
        raise Parked(Reason.FOREIGN_ACCOUNT, "It names another account than the one its customer belongs to.")


@dataclass
class _Owed:
    purchase: Purchase
    recorded: dict[str, Done]
    effects: list[Effect] = field(default_factory=list)

    # --- the grant

    def grant(self, account_id: str | None, offers: Offers) -> None:
        purchase = self.purchase
        if purchase.key in self.recorded or purchase.state is not PurchaseState.PAID:
            return
        manual = purchase.billing_reason == "manual"
        if manual and not offers.policy.manual_invoices_grant:
            return
        if f"{purchase.key}:void" in self.recorded:
            raise Parked(Reason.CONFLICT, "The invoice was voided before it was paid.")
        if account_id is None:
            raise Parked(Reason.CUSTOMER_UNKNOWN, f"No account is linked to the customer {purchase.customer_id}.")
        refuse_another(account_id, purchase.references)
        if purchase.out_of_band and not offers.policy.out_of_band_grants:
            raise Parked(Reason.OUT_OF_BAND, "The invoice was marked as paid without a payment.")
        if purchase.under_review and offers.policy.reviews_delay_grants:
            raise Parked(Reason.UNDER_REVIEW, "The payment is under review.")
        _check_session(purchase, offers)
        converted = conversion(purchase, offers)
        if amount := converted.microcredits:
            self._add(Grant(purchase.key, amount, f"Stripe {purchase.kind} {purchase.source_id}", converted))

    @property
    def granted(self) -> int:
        done = self.recorded.get(self.purchase.key)
        return done.amount if done else 0

    # --- what makes room first: refunds that failed, credit notes that were voided, disputes that were won

    def undo(self) -> None:
        for refund in self.purchase.refunds:
            if refund.failed:
                self._restore(_refund_key(refund.refund_id), "failed")
        for note in self.purchase.credit_notes:
            if note.voided:
                self._restore(_note_key(note.credit_note_id), "voided")
        if self.purchase.state is PurchaseState.PAID:
            self._restore(f"{self.purchase.key}:uncollectible", "paid")
        for dispute in self.purchase.disputes:
            if dispute.restored:
                self._end(dispute, lost=False)

    # --- what was given back

    def take_back(self) -> None:
        purchase = self.purchase
        if purchase.state in {PurchaseState.VOID, PurchaseState.UNCOLLECTIBLE}:
            key = f"{purchase.key}:{purchase.state}"
            if key not in self.recorded:
                self._add(ClawBack(key, self._left) if self._left else Remember(key))
                if self.granted and purchase.state is PurchaseState.UNCOLLECTIBLE:
                    self._add(Freeze(f"{key}:frozen"))
        standing = sorted(
            (one for one in purchase.refunds if not one.failed), key=lambda one: (one.created, one.refund_id)
        )
        whole = sum(one.amount for one in standing) >= purchase.paid
        for refund in standing:
            rest = whole and all(_refund_key(other.refund_id) in self.recorded for other in standing if other != refund)
            self._claw(_refund_key(refund.refund_id), refund.amount, rest=rest)
        for note in purchase.credit_notes:
            if not note.voided:
                self._claw(_note_key(note.credit_note_id), note.amount)

    def _claw(self, key: str, amount: int, *, rest: bool = False) -> None:
        share = self._left_of_refunds if rest else self._share(amount)
        if key in self.recorded or share <= 0 or (share > self._left and self._disputed):
            return
        if taken := min(share, self._left):
            self._add(ClawBack(key, taken))

    # --- disputes: what is set aside is the share of the present amount, part after part when that changes

    def dispute(self, policy: Policy) -> None:
        for dispute in self.purchase.disputes:
            held = self._held(dispute)
            if dispute.open or (dispute.lost and not (held and self._has_ended(held))):
                self._follow(dispute, held)
                if policy.disputes_freeze and self.granted and held is None:
                    self._add_once(Freeze(_dispute_key(dispute.dispute_id, "frozen")))
            if dispute.lost:
                self._end(dispute, lost=True)
            for moved in dispute.movements:
                self._add_once(MovedOutside(_dispute_key(dispute.dispute_id, moved.name), moved.movement))

    def _follow(self, dispute: Dispute, held: str | None) -> None:
        """Nothing when what stands is what is wanted, so that a second look changes nothing."""
        standing = self.recorded[_dispute_key(held, "held")].amount if held and not self._has_ended(held) else 0
        wanted = min(self._share(dispute.amount), self._left + standing)
        if wanted == standing:
            return
        if standing:
            self._end(dispute, lost=False)
        if wanted:
            part = _part(dispute, self._parts(dispute) + 1)
            self._add(HoldDisputed(_dispute_key(part, "held"), wanted, part))

    def _end(self, dispute: Dispute, *, lost: bool) -> None:
        held = self._held(dispute)
        if held is None or self._has_ended(held):
            return
        amount = self.recorded[_dispute_key(held, "held")].amount
        self._add(EndDispute(_dispute_key(held, "lost" if lost else "restored"), amount, held, lost))

    def _parts(self, dispute: Dispute) -> int:
        """How often something was set aside for it."""
        return next(n for n in count() if _dispute_key(_part(dispute, n + 1), "held") not in self.recorded)

    def _held(self, dispute: Dispute) -> str | None:
        """What the last part is called in the ledger."""
        number = self._parts(dispute)
        return _part(dispute, number) if number else None

    def _has_ended(self, part: str) -> bool:
        return any(_dispute_key(part, end) in self.recorded for end in ("lost", "restored"))

    @property
    def _disputed(self) -> bool:
        """Whether a hold is open, which its end may give back."""
        return any(held and not self._has_ended(held) for held in map(self._held, self.purchase.disputes))

    # --- for people

    def notice(self, policy: Policy) -> None:
        purchase = self.purchase
        for warning in purchase.fraud_warnings:
            self._add_once(StopTopUps(f"stripe:warning:{warning}"))
            if policy.fraud_warnings_freeze:
                self._add_once(Freeze(f"stripe:warning:{warning}:frozen"))
        if purchase.state is PurchaseState.AWAITING and purchase.failed_attempts:
            self._add_once(Remember(f"{purchase.key}:failed:{purchase.failed_attempts}", note="The payment failed."))
        if purchase.state is PurchaseState.AWAITING and purchase.action_required:
            self._add_once(Remember(f"{purchase.key}:action", note="The customer has to confirm the payment."))

    # --- arithmetic

    def _share(self, amount: int) -> int:
        """Of what was granted, rounded down; what covers the whole payment takes all."""
        if amount <= 0:
            return 0
        if amount >= self.purchase.paid:
            return self.granted
        return self.granted * amount // self.purchase.paid

    @property
    def _left(self) -> int:
        """Granted and not taken back yet."""
        signs = {
            Did.CLAW_BACK: -1,
            Did.RESTORE: 1,
            Did.DISPUTE_HOLD: -1,
            Did.DISPUTE_RESTORED: 1,
        }
        return self.granted + sum(signs.get(done.did, 0) * done.amount for done in self.recorded.values())

    @property
    def _left_of_refunds(self) -> int:
        """What the last refund takes, so that the parts sum up."""
        taken = sum(
            done.amount if done.did is Did.CLAW_BACK else -done.amount
            for key, done in self.recorded.items()
            if key.startswith("stripe:refund:")
        )
        return self.granted - taken

    def _restore(self, clawback_key: str, word: str) -> None:
        taken = self.recorded.get(clawback_key)
        if taken is not None and taken.did is Did.CLAW_BACK:
            self._add_once(RestoreClawBack(f"{clawback_key}:{word}", taken.amount, clawback_key))

    def _add_once(self, effect: Effect) -> None:
        if effect.key not in self.recorded:
            self._add(effect)

    def _add(self, effect: Effect) -> None:
        self.effects.append(effect)
        self.recorded[effect.key] = Done(did_of(effect), effect.amount)


def _check_session(purchase: Purchase, offers: Offers) -> None:
    """What a checkout session says of itself must be what its lines say. Raises Parked."""
    if purchase.kind is not PurchaseKind.CHECKOUT:
        return
    if sum(line.amount for line in purchase.lines) != purchase.value:
        raise Parked(Reason.MISMATCH, "The lines of the session do not sum up to its amount.")
    if purchase.pack is None:
        return
    bought = [(offers.priced(line.price_id, line.lookup_key), line.quantity) for line in purchase.lines]
    if bought != [(offers.packs.get(purchase.pack), 1)]:
        raise Parked(Reason.MISMATCH, "The session was made for another pack than it was paid for.")


def _refund_key(refund_id: str) -> str:
    return f"stripe:refund:{refund_id}"


def _note_key(credit_note_id: str) -> str:
    return f"stripe:creditnote:{credit_note_id}"


def _part(dispute: Dispute, number: int) -> str:
    """The first has the dispute's own name."""
    return dispute.dispute_id if number == 1 else f"{dispute.dispute_id}:{number}"


def _dispute_key(part: str, word: str) -> str:
    return f"stripe:dispute:{part}:{word}"
