"""The matrix of ledger.md 11.2 by row: recorded objects in, effects with their keys out. S7 to S11, S14 and S15."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from adapters import stripe_objects as read
from domain.billing import MovedOutside, Parked, Purchase, Reason
from domain.billing_rules import conversion, effects_of
from domain.offers import half_even
from tests.billing.objects import (
    ACCOUNT,
    CREDIT,
    OTHER,
    Books,
    a_dispute,
    a_line,
    a_movement,
    a_refund,
    a_session,
    an_intent,
    an_invoice,
    an_invoice_line,
    bought,
    invoiced,
    offers,
)


def why_parked(purchase: Purchase, books: Books | None = None, account_id: str | None = ACCOUNT) -> Reason:
    with pytest.raises(Parked) as parked:
        (books or Books()).apply(purchase, account_id)
    return parked.value.reason


# --- checkout sessions


def test_a_paid_session_grants_under_its_payment_intent():
    books = Books()

    assert books.apply(bought()) == ["stripe:pi:pi_1"]
    assert books.available == 10 * CREDIT


def test_a_payment_intent_that_was_expanded_gives_the_same_key():
    assert bought(a_session(payment_intent={"id": "pi_1", "object": "payment_intent"})).key == bought().key


def test_a_free_session_has_its_own_key_and_grants_what_the_price_brings():
    books = Books()
    free = a_session(payment_intent=None, payment_status="no_payment_required", amount_total=0)

    assert books.apply(bought(free, a_line(total=0))) == ["stripe:cs:cs_1"]
    assert books.available == 10 * CREDIT


def test_a_free_session_grants_nothing_by_value():
    free = a_session(payment_intent=None, payment_status="no_payment_required", amount_total=0, metadata={})

    assert Books().apply(bought(free, a_line("price_any", None, total=0))) == []


@pytest.mark.parametrize(
    ("session", "intent", "state"),
    [
        pytest.param({"payment_status": "unpaid"}, {"status": "processing"}, "awaiting", id="completed, unpaid"),
        pytest.param({"status": "expired", "payment_status": "unpaid"}, None, "expired", id="expired"),
        pytest.param({"payment_status": "unpaid"}, {"status": "requires_payment_method"}, "failed", id="async failed"),
        pytest.param({"status": "open", "payment_status": "unpaid"}, None, "awaiting", id="open"),
    ],
)
def test_a_session_that_is_not_paid_moves_nothing(session: dict[str, Any], intent: dict[str, Any] | None, state: str):
    purchase = bought(a_session(**session), intent=intent)

    assert purchase.state == state
    assert Books().apply(purchase) == []


def test_a_failure_or_an_end_after_the_success_moves_nothing():
    books = Books()
    books.apply(bought())

    assert books.apply(bought(a_session(status="expired", payment_status="unpaid"))) == []
    assert books.available == 10 * CREDIT


def test_a_session_in_mode_setup_saves_the_method_once_it_succeeded():
    session = a_session(mode="setup")

    method = read.saved_method(session, {"status": "succeeded", "payment_method": "pm_1"})

    assert method is not None
    assert (method.customer_id, method.payment_method_id) == ("cus_1", "pm_1")
    assert read.saved_method(session, {"status": "requires_payment_method", "payment_method": None}) is None


def test_s8_tax_and_shipping_bring_no_credits():
    taxed = a_session(
        amount_total=1290, total_details={"amount_tax": 190, "amount_shipping": 100, "amount_discount": 0}, metadata={}
    )

    purchase = bought(taxed, a_line("price_any", None, total=1190, tax=190))

    assert conversion(purchase, offers()).microcredits == 10 * CREDIT
    assert purchase.paid == 1290


# --- S9 and S14


@pytest.mark.parametrize(
    "session",
    [
        pytest.param({"client_reference_id": OTHER}, id="reference"),
        pytest.param({"metadata": {"account_id": OTHER}}, id="metadata"),
    ],
)
def test_s14_a_session_that_names_another_account_is_refused(session: dict[str, Any]):
    assert why_parked(bought(a_session(**session))) is Reason.FOREIGN_ACCOUNT


@pytest.mark.parametrize(
    ("session", "line"),
    [
        pytest.param({}, a_line("price_any", None), id="the price is of another pack"),
        pytest.param({}, a_line() | {"quantity": 2}, id="the quantity is another"),
        pytest.param({"metadata": {"pack": "pack-1000"}}, a_line(), id="the metadata names a dearer pack"),
        pytest.param({"amount_total": 900}, a_line(), id="the amount is another"),
    ],
)
def test_s9_metadata_decides_no_amount(session: dict[str, Any], line: dict[str, Any]):
    assert why_parked(bought(a_session(**session), line)) is Reason.MISMATCH


def test_s12_a_payment_of_a_customer_without_a_link_is_parked_and_granted_once_it_is_linked():
    books = Books()

    assert why_parked(bought(), books, None) is Reason.CUSTOMER_UNKNOWN
    assert books.apply(bought()) == ["stripe:pi:pi_1"]
    assert books.apply(bought()) == []


def test_a_price_that_is_in_no_list_is_parked():
    assert why_parked(bought(a_session(metadata={}), a_line("price_x", None))) is Reason.PRICE_UNKNOWN
    assert Reason.PRICE_UNKNOWN.passes


# --- S7 and S15


@pytest.mark.parametrize(
    ("currency", "minor", "micros"),
    [
        pytest.param("usd", 1001, 10_010_000, id="two decimals"),
        pytest.param("jpy", 10_000, 66_000_000, id="yen has none"),
        pytest.param("kwd", 1_500, 4_875_000, id="dinar has three"),
    ],
)
def test_s15_minor_units_are_those_of_the_currency(currency: str, minor: int, micros: int):
    intent = an_intent(currency=currency, amount_received=minor)

    assert conversion(read.top_up_purchase(intent, ((), ())), offers()).microcredits == micros


def test_s15_an_unknown_currency_is_parked_even_for_a_fixed_number_of_credits():
    assert why_parked(bought(a_session(currency="idr"))) is Reason.CURRENCY_UNKNOWN


@pytest.mark.parametrize(
    ("numerator", "denominator", "nearest"), [(5, 2, 2), (7, 2, 4), (-5, 2, -2), (8, 3, 3), (7, 3, 2)]
)
def test_the_one_division_rounds_half_to_even(numerator: int, denominator: int, nearest: int):
    assert half_even(numerator, denominator) == nearest


def test_e19_more_than_a_grant_may_have_is_parked():
    intent = an_intent(amount_received=10**12)

    assert why_parked(read.top_up_purchase(intent, ((), ()))) is Reason.TOO_MUCH


# --- invoices


@pytest.mark.parametrize("reason", ["subscription_create", "subscription_cycle"])
def test_a_paid_invoice_grants_the_period_under_its_own_id(reason: str):
    books = Books()

    assert books.apply(invoiced(an_invoice(billing_reason=reason))) == ["stripe:invoice:in_1"]
    assert books.available == 9 * CREDIT


@pytest.mark.parametrize(
    "invoice",
    [
        pytest.param({"amount_paid": 0, "total": 0, "total_excluding_tax": 0}, id="full coupon"),
        pytest.param({"amount_paid": 0}, id="paid from the customer's balance"),
    ],
)
def test_an_invoice_of_zero_grants_what_the_plan_brings(invoice: dict[str, Any]):
    books = Books()
    books.apply(invoiced(an_invoice(**invoice)))

    assert books.available == 9 * CREDIT


@pytest.mark.parametrize(
    ("given_back", "charged", "micros"),
    [
        pytest.param(-450, 1450, 10_000_000, id="the net"),
        pytest.param(-1450, 450, 0, id="never below zero"),
    ],
)
def test_a_change_of_plan_grants_the_net_of_its_lines(given_back: int, charged: int, micros: int):
    lines = (an_invoice_line(amount=given_back, proration=True), an_invoice_line(amount=charged, proration=True))
    books = Books()
    books.apply(invoiced(an_invoice(*lines, billing_reason="subscription_update")))

    assert books.available == micros


def test_a_manual_invoice_is_ignored_unless_the_policy_says_otherwise():
    manual = invoiced(an_invoice(an_invoice_line("price_any"), billing_reason="manual", amount_paid=900))

    assert Books().apply(manual) == []
    assert Books(offers(manual_invoices_grant=True)).apply(manual) == ["stripe:invoice:in_1"]


def test_an_invoice_that_was_paid_elsewhere_is_for_the_policy():
    outside = invoiced(an_invoice(amount_paid_off_stripe=900))

    assert why_parked(outside) is Reason.OUT_OF_BAND
    assert Books(offers(out_of_band_grants=True)).apply(outside) == ["stripe:invoice:in_1"]


def test_a_failed_payment_is_remembered_by_attempt_and_only_before_it_is_paid():
    books = Books()

    assert books.apply(invoiced(an_invoice(status="open", amount_paid=0, attempt_count=2))) == [
        "stripe:invoice:in_1:failed:2"
    ]
    assert books.apply(invoiced(an_invoice(attempt_count=3))) == ["stripe:invoice:in_1"]


def test_a_voided_invoice_is_clawed_back_when_it_had_granted():
    books = Books()
    books.apply(invoiced())

    assert books.apply(invoiced(an_invoice(status="void"))) == ["stripe:invoice:in_1:void"]
    assert books.available == 0


def test_a_payment_after_the_void_is_for_a_person():
    books = Books()
    books.apply(invoiced(an_invoice(status="void")))

    assert why_parked(invoiced(), books) is Reason.CONFLICT


def test_an_uncollectible_invoice_takes_what_it_had_granted_and_freezes_until_it_is_paid():
    books = Books()
    books.apply(invoiced())

    assert books.apply(invoiced(an_invoice(status="uncollectible"))) == [
        "stripe:invoice:in_1:uncollectible",
        "stripe:invoice:in_1:uncollectible:frozen",
    ]
    assert books.available == 0
    assert books.apply(invoiced()) == ["stripe:invoice:in_1:uncollectible:paid"]
    assert books.available == 9 * CREDIT


@pytest.mark.parametrize("status", ["draft", "open"])
def test_an_invoice_that_is_only_finalized_moves_nothing(status: str):
    assert Books().apply(invoiced(an_invoice(status=status, amount_paid=0, attempt_count=0))) == []


# --- automatic top-ups


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("succeeded", "paid"),
        ("processing", "awaiting"),
        ("requires_action", "awaiting"),
        ("requires_payment_method", "failed"),
        ("canceled", "failed"),
    ],
)
def test_a_top_up_ends_as_its_payment_does(status: str, state: str):
    purchase = read.top_up_purchase(an_intent(status=status), ((), ()))

    assert (purchase.state, purchase.top_up_id) == (state, "t-1")
    assert Books().apply(purchase) == (["stripe:pi:pi_1"] if state == "paid" else [])


def test_a_tip_brings_no_credits():
    tipped = an_intent(amount_received=2600, amount_details={"tip": {"amount": 100}})

    assert conversion(read.top_up_purchase(tipped, ((), ())), offers()).microcredits == 25 * CREDIT


# --- refunds


def test_a_refund_claws_back_its_share_and_the_last_one_the_rest():
    session = a_session(amount_total=1100, total_details={"amount_tax": 100, "amount_shipping": 0})
    thirds = (a_refund("re_1", 367), a_refund("re_2", 367, created=2), a_refund("re_3", 366, created=3))
    line, books = a_line(total=1100, tax=100), Books()

    for count in range(4):
        books.apply(bought(session, line, refunds=thirds[:count]))

    shares = [books.recorded[f"stripe:refund:re_{number}"].amount for number in (1, 2, 3)]
    assert shares == [3_336_363, 3_336_363, 3_327_274]
    assert sum(shares) == 10 * CREDIT


def test_a_refund_that_comes_before_the_grant_is_netted_on_arrival():
    books = Books()

    assert books.apply(bought(refunds=(a_refund("re_1", 400),))) == ["stripe:pi:pi_1", "stripe:refund:re_1"]
    assert books.available == 6 * CREDIT


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_a_refund_that_failed_restores_its_clawback_once(status: str):
    books = Books()
    books.apply(bought(refunds=(a_refund("re_1", 400),)))
    failed = bought(refunds=(a_refund("re_1", 400, status=status),))

    assert books.apply(failed) == ["stripe:refund:re_1:failed"]
    assert books.apply(failed) == []
    assert books.available == 10 * CREDIT


def test_a_refund_that_failed_before_it_was_seen_takes_nothing_and_another_one_does():
    books = Books()
    books.apply(bought(refunds=(a_refund("re_1", 1000, status="failed"), a_refund("re_2", 1000, created=2))))

    assert books.available == 0
    assert "stripe:refund:re_1" not in books.recorded


# --- disputes


def test_a_dispute_sets_its_share_aside_and_a_win_gives_it_back():
    books = Books()
    books.apply(bought(disputes=(a_dispute("needs_response", amount=400),)))

    assert (books.available, books.disputed) == (6 * CREDIT, 4 * CREDIT)
    assert books.apply(bought(disputes=(a_dispute("won", amount=400),))) == ["stripe:dispute:du_1:restored"]
    assert (books.available, books.disputed) == (10 * CREDIT, 0)


def test_a_lost_dispute_that_was_never_seen_open_is_held_and_lost_at_once():
    books = Books()
    keys = books.apply(bought(disputes=(a_dispute("lost"),)))

    assert keys == ["stripe:pi:pi_1", "stripe:dispute:du_1:held", "stripe:dispute:du_1:lost"]
    assert (books.available, books.disputed) == (0, 0)


def test_a_won_dispute_that_was_never_seen_open_moves_nothing():
    assert Books().apply(bought(disputes=(a_dispute("won"),))) == ["stripe:pi:pi_1"]


@pytest.mark.parametrize("status", ["warning_needs_response", "warning_under_review", "warning_closed"])
def test_an_inquiry_holds_nothing(status: str):
    assert Books().apply(bought(disputes=(a_dispute(status),))) == ["stripe:pi:pi_1"]


def test_what_a_dispute_moved_at_stripe_is_booked_with_its_fee_each_once():
    rows = [
        a_movement("txn_1", "dispute", -1000, fee=1500),
        a_movement("txn_2", "dispute", 400),  # the bank wants less
        a_movement("txn_3", "dispute_reversal", 600),
    ]
    books = Books()
    owed = effects_of(bought(disputes=(a_dispute("needs_response", rows=rows),)), ACCOUNT, {}, books.offers)
    keys = books.apply(bought(disputes=(a_dispute("needs_response", rows=rows),)))

    assert keys[2:] == [f"stripe:dispute:du_1:{name}" for name in ("withdrawn", "withdrawn:2", "reinstated")]
    legs = [effect.movement for effect in owed if isinstance(effect, MovedOutside)]
    assert [(leg.movement_id, leg.amount, leg.fee) for leg in legs] == [
        ("txn_1", -1000, 1500),
        ("txn_2", 400, 0),
        ("txn_3", 600, 0),
    ]
    assert books.apply(bought(disputes=(a_dispute("won", rows=rows),))) == ["stripe:dispute:du_1:restored"]


@pytest.mark.parametrize("amounts", [(400, 700, 200), (400, 200, 700), (1000, 1, 1000), (1, 1000, 400, 1000)])
def test_a_dispute_whose_amount_changes_sets_its_present_share_aside(amounts: tuple[int, ...]):
    for status, expected in (("won", (10 * CREDIT, 0)), ("lost", (10 * CREDIT - amounts[-1] * CREDIT // 100, 0))):
        books = Books()
        for amount in amounts:
            share = amount * CREDIT // 100
            books.apply(bought(disputes=(a_dispute("under_review", amount=amount),)))
            assert (books.available, books.disputed) == (10 * CREDIT - share, share)
            assert books.apply(bought(disputes=(a_dispute("under_review", amount=amount),))) == []

        books.apply(bought(disputes=(a_dispute(status, amount=amounts[-1]),)))

        assert (books.available, books.disputed) == expected
        assert books.apply(bought(disputes=(a_dispute(status, amount=amounts[-1]),))) == []


def test_a_dispute_that_is_lost_with_another_amount_takes_the_last_one():
    books = Books()
    books.apply(bought(disputes=(a_dispute("needs_response", amount=400),)))

    keys = books.apply(bought(disputes=(a_dispute("lost", amount=600),)))

    assert keys == [f"stripe:dispute:{name}" for name in ("du_1:restored", "du_1:2:held", "du_1:2:lost")]
    assert (books.available, books.disputed) == (4 * CREDIT, 0)


def test_inv_18_a_dispute_that_grows_takes_no_more_than_a_refund_left():
    books = Books()
    refunded = (a_refund("re_1", 700),)
    books.apply(bought(refunds=refunded, disputes=(a_dispute("needs_response", amount=200),)))
    books.apply(bought(refunds=refunded, disputes=(a_dispute("needs_response", amount=1000),)))
    assert (books.available, books.disputed) == (0, 3 * CREDIT)

    failed = (a_refund("re_1", 700, status="failed"),)  # which makes room for the rest of it
    books.apply(bought(refunds=failed, disputes=(a_dispute("needs_response", amount=1000),)))

    assert (books.available, books.disputed) == (0, 10 * CREDIT)


def test_the_policy_may_freeze_an_account_with_a_dispute():
    keys = Books(offers(disputes_freeze=True)).apply(bought(disputes=(a_dispute("needs_response"),)))

    assert "stripe:dispute:du_1:frozen" in keys


@pytest.mark.parametrize("first", ["refund", "dispute"])
def test_inv_18_a_refund_and_a_lost_dispute_never_take_more_than_was_granted(first: str):
    books = Books()
    if first == "refund":
        books.apply(bought(refunds=(a_refund("re_1", 700),)))
    else:
        books.apply(bought(disputes=(a_dispute("needs_response"),)))
    both = bought(refunds=(a_refund("re_1", 700),), disputes=(a_dispute("needs_response"),))
    books.apply(both)
    books.apply(bought(refunds=(a_refund("re_1", 700),), disputes=(a_dispute("lost"),)))

    assert (books.available, books.disputed) == (0, 0)


# --- warnings, reviews, credit notes


def test_a_fraud_warning_stops_top_ups_and_freezes_where_the_policy_says_so():
    from dataclasses import replace

    warned = replace(bought(), fraud_warnings=("issfr_1",))

    assert Books().apply(warned)[1:] == ["stripe:warning:issfr_1"]
    assert Books(offers(fraud_warnings_freeze=True)).apply(warned)[2:] == ["stripe:warning:issfr_1:frozen"]


def test_a_review_delays_the_grant_where_the_policy_says_so():
    reviewed = bought(intent={"status": "succeeded", "review": "prv_1"})

    assert Books().apply(reviewed) == ["stripe:pi:pi_1"]
    assert why_parked(reviewed, Books(offers(reviews_delay_grants=True))) is Reason.UNDER_REVIEW


def a_note(status: str = "issued", **members: Any) -> dict[str, Any]:
    return {"id": "cn_1", "status": status, "total": 300, "post_payment_amount": 300, "refunds": []} | members


def test_a_credit_note_claws_back_what_it_credits_and_its_void_restores_it():
    books = Books()
    books.apply(invoiced())

    assert books.apply(invoiced(notes=(a_note(),))) == ["stripe:creditnote:cn_1"]
    assert books.available == 6 * CREDIT
    assert books.apply(invoiced(notes=(a_note("void"),))) == ["stripe:creditnote:cn_1:voided"]
    assert books.available == 9 * CREDIT


def test_a_credit_note_with_a_refund_inside_is_one_effect():
    note = a_note(refunds=[{"amount_refunded": 300, "refund": "re_1"}])
    books = Books()
    books.apply(invoiced(refunds=(a_refund("re_1", 300),), notes=(note,)))

    assert books.available == 6 * CREDIT
    assert "stripe:creditnote:cn_1" not in books.recorded


# --- disorder

EVENTS = ("completed", "async succeeded", "refund part 1", "refund part 2", "dispute created", "dispute won")


def seen_after(arrived: frozenset[str]) -> Purchase:
    """The payment as Stripe shows it when exactly these events have happened."""
    refunds = tuple(
        a_refund(f"re_{number}", amount, created=number)
        for number, amount in ((1, 300), (2, 200))
        if f"refund part {number}" in arrived
    )
    status = "won" if "dispute won" in arrived else "needs_response"
    disputes = (a_dispute(status),) if arrived & {"dispute created", "dispute won"} else ()
    return bought(refunds=refunds, disputes=disputes)


@pytest.mark.parametrize("fresh", [True, False], ids=["all has happened already", "each look shows what has arrived"])
def test_s10_every_order_of_events_ends_in_the_same_balances(fresh: bool):
    ends = set()
    for order in permutations(EVENTS):
        books, arrived = Books(), frozenset[str]()
        for event in order:
            arrived |= {event}
            books.apply(seen_after(frozenset(EVENTS) if fresh else arrived))
        ends.add((books.available, books.disputed))

    assert ends == {(5 * CREDIT, 0)}


def test_s11_every_event_twice_or_replayed_later_changes_nothing():
    books = Books()
    final = seen_after(frozenset(EVENTS))
    books.apply(final)
    before = dict(books.recorded)

    assert [books.apply(final) for _ in EVENTS] == [[]] * len(EVENTS)
    assert books.recorded == before


def test_a_cause_that_is_no_account_of_ours_owes_nothing_when_nothing_was_paid():
    unpaid = bought(a_session(payment_status="unpaid"))

    assert effects_of(unpaid, None, {}, offers()) == []


# --- subscriptions and the rest


def a_subscription(**members: Any) -> dict[str, Any]:
    item = {
        "price": {"id": "price_starter", "lookup_key": "starter_monthly"},
        "current_period_start": 1_780_000_000,
        "current_period_end": 1_782_592_000,
    }
    return {
        "id": "sub_1",
        "object": "subscription",
        "customer": "cus_1",
        "status": "active",
        "cancel_at_period_end": False,
        "currency": "usd",
        "created": 1_780_000_000,
        "items": {"data": [item]},
        "metadata": {"account_id": ACCOUNT},
    } | members


@pytest.mark.parametrize(
    ("status", "entitles"),
    [
        ("active", True),
        ("trialing", True),
        ("past_due", True),
        ("paused", False),
        ("unpaid", False),
        ("canceled", False),
        ("incomplete", False),
        ("incomplete_expired", False),
    ],
)
def test_a_subscription_entitles_to_its_plan_while_it_lasts(status: str, entitles: bool):
    found = read.subscription(a_subscription(status=status))

    assert found.entitles is entitles
    assert (found.customer_id, found.lookup_key, found.references) == ("cus_1", "starter_monthly", (ACCOUNT,))
    assert found.period_ends_at is not None


def test_a_credit_note_on_a_free_invoice_takes_nothing():
    free = invoiced(an_invoice(amount_paid=0), notes=(a_note(total=0, post_payment_amount=0),))

    assert Books().apply(free) == ["stripe:invoice:in_1"]


def test_an_event_is_read_as_its_envelope_alone():
    event = {
        "id": "evt_1",
        "type": "charge.refunded",
        "created": 1_780_000_000,
        "livemode": False,
        "data": {"object": {"id": "ch_1", "object": "charge", "receipt_email": "someone@example.com"}},
    }

    notice = read.notice_of(event)

    assert (notice.event_id, notice.object_type, notice.object_id) == ("evt_1", "charge", "ch_1")
    assert "example.com" not in repr(notice)
