"""Buying credits: what is for sale, pages of the payment service to buy it on, and automatic top-ups.

No amount and no price comes from the caller: an offer is named, and what it costs is known to the payment service.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import Response

from api import schemas
from api.admin.bodies import Body, accepting, body
from api.billing_samples import BUY_BODY, OFFERS, PAGE, SUBSCRIBE_BODY, TOP_UP, TOP_UP_BODY
from api.dependencies import AccountReader, Buyer, Handles
from api.envelope import success
from api.errors import documented
from api.samples import answering
from api.services import Services
from domain import errors as e
from domain.billing import Payments, ReturnTo
from domain.offers import Offer
from domain.pricing import exact_credits, microcredits_from_number
from store import accounts, billing, top_ups
from store.connection import single
from store.keys import KeyOwner
from store.top_ups import Rule

router = APIRouter(prefix="/v1/billing", tags=["billing"])

ENTITLING = {"active", "trialing", "past_due"}
_PAYING = documented(e.PaymentsOff, e.PaymentsUnavailable)
_ASKING = documented(e.InvalidInput, e.UnsupportedMediaType, e.PayloadTooLarge, e.PaymentsOff, e.PaymentsUnavailable)
_OFFER = Field(max_length=100, description="The `name` of one of the offers.")


class Buy(Body):
    pack: str = _OFFER


class Subscribe(Body):
    plan: str = _OFFER


class TopUp(Body):
    enabled: bool
    amount: float = Field(10, gt=0, le=100_000, description="Credits of one top-up; at most six decimals.")
    daily_max: int = Field(1, ge=1, le=100, description="Top-ups within 24 hours.")


@router.get(
    "/offers",
    responses={200: {"model": schemas.Success[schemas.Offers]}, **documented()},
    openapi_extra=answering(OFFERS),
)
async def list_offers(request: Request, _: AccountReader, handles: Handles) -> Response:
    """Credit packs and subscriptions, with the credits that they bring."""
    data = schemas.Offers(
        packs=[_shown(offer) for offer in handles.offers.packs.values()],
        subscriptions=[_shown(offer) for offer in handles.offers.subscriptions.values()],
    )
    return success(request, "Offers", data)


@router.post(
    "/checkout",
    responses={200: {"model": schemas.Success[schemas.PaymentPage]}, **_ASKING},
    openapi_extra=accepting(Buy, BUY_BODY, PAGE),
)
async def buy_pack(
    request: Request, caller: Buyer, handles: Handles, asked: Annotated[Buy, Depends(body(Buy))]
) -> Response:
    """A page on which a credit pack is paid. The credits come with the payment, not with the way back from the page."""
    payments = _payments(handles)
    offer = _named(handles.offers.packs, asked.pack, "pack")
    if handles.offers.policy.packs_need_subscription and not await _subscribed(handles, caller):
        raise e.StateConflict("Credit packs need an active subscription.")
    customer_id = await _customer(handles, payments, caller)
    url = await payments.checkout_pack(caller.account_id, customer_id, offer, _return_to(handles))
    return success(request, "Checkout", schemas.PaymentPage(url=url))


@router.post(
    "/subscription",
    responses={200: {"model": schemas.Success[schemas.PaymentPage]}, **_ASKING},
    openapi_extra=accepting(Subscribe, SUBSCRIBE_BODY, PAGE),
)
async def subscribe(
    request: Request, caller: Buyer, handles: Handles, asked: Annotated[Subscribe, Depends(body(Subscribe))]
) -> Response:
    """A page on which a subscription begins. An account has one at a time: it is changed on the portal's pages."""
    payments = _payments(handles)
    offer = _named(handles.offers.subscriptions, asked.plan, "plan")
    if await _subscribed(handles, caller):
        raise e.StateConflict("The account has a subscription; it is changed in the portal.")
    customer_id = await _customer(handles, payments, caller)
    url = await payments.checkout_subscription(caller.account_id, customer_id, offer, _return_to(handles))
    return success(request, "Checkout", schemas.PaymentPage(url=url))


@router.post(
    "/portal",
    responses={200: {"model": schemas.Success[schemas.PaymentPage]}, **_PAYING},
    openapi_extra=answering(PAGE),
)
async def open_portal(request: Request, caller: Buyer, handles: Handles) -> Response:
    """Pages on which the customer changes or ends the subscription, and sees invoices and payment methods."""
    payments = _payments(handles)
    customer_id = await _customer(handles, payments, caller)
    return success(
        request, "Portal", schemas.PaymentPage(url=await payments.portal(customer_id, handles.payment_return_url))
    )


@router.post(
    "/payment_method",
    responses={200: {"model": schemas.Success[schemas.PaymentPage]}, **_PAYING},
    openapi_extra=answering(PAGE),
)
async def save_payment_method(request: Request, caller: Buyer, handles: Handles) -> Response:
    """A page on which a payment method is saved for automatic top-ups."""
    payments = _payments(handles)
    customer_id = await _customer(handles, payments, caller)
    currency = handles.offers.top_up_currency
    url = await payments.checkout_method(caller.account_id, customer_id, currency, _return_to(handles))
    return success(request, "Checkout", schemas.PaymentPage(url=url))


@router.get(
    "/top_up",
    responses={200: {"model": schemas.Success[schemas.TopUpRule]}, **documented()},
    openapi_extra=answering(TOP_UP),
)
async def read_top_up(request: Request, caller: AccountReader, handles: Handles) -> Response:
    """Whether credits are bought by themselves when a low-balance alert fires, and why they are not any more."""
    async with single(handles.pool) as conn:
        rule = await top_ups.rule(conn, caller.account_id)
    return success(request, "Automatic top-up", _rule(rule))


@router.post(
    "/top_up",
    responses={200: {"model": schemas.Success[schemas.TopUpRule]}, **_ASKING},
    openapi_extra=accepting(TopUp, TOP_UP_BODY, TOP_UP),
)
async def set_top_up(
    request: Request, caller: Buyer, handles: Handles, asked: Annotated[TopUp, Depends(body(TopUp))]
) -> Response:
    """Buy credits from the saved payment method whenever the balance falls below an alert's threshold."""
    _payments(handles)
    amount = _amount(asked.amount)
    async with single(handles.pool) as conn:
        known = await top_ups.rule(conn, caller.account_id)
        if asked.enabled and (known is None or known.payment_method_id is None):
            raise e.StateConflict("Save a payment method first.")
        await top_ups.set_rule(conn, caller.account_id, enabled=asked.enabled, amount=amount, daily_max=asked.daily_max)
        rule = await top_ups.rule(conn, caller.account_id)
    return success(request, "Automatic top-up", _rule(rule))


def _payments(handles: Services) -> Payments:
    if handles.payments is None:
        raise e.PaymentsOff("This deployment takes no payments.")
    return handles.payments


def _named(offers: object, name: str, field: str) -> Offer:
    assert hasattr(offers, "get")
    offer: Offer | None = offers.get(name)
    if offer is None:
        raise e.InvalidInput("There is no such offer; GET /v1/billing/offers lists them.", details={"field": field})
    return offer


async def _subscribed(handles: Services, caller: KeyOwner) -> bool:
    async with single(handles.pool) as conn:
        found = await billing.subscription_of(conn, caller.account_id)
    return found is not None and found.status in ENTITLING


async def _customer(handles: Services, payments: Payments, caller: KeyOwner) -> str:
    """The account's customer there, made and linked before anything is bought: what is paid is then known by it."""
    async with single(handles.pool) as conn:
        known = await billing.customer_of(conn, caller.account_id)
        account = await accounts.get(conn, caller.account_id)
    if known is not None:
        return known
    if account is None:
        raise e.AccountNotFound("There is no such account.")
    made = await payments.create_customer(account.account_id, account.name, account.email)
    async with single(handles.pool) as conn:
        return await billing.link_customer(conn, caller.account_id, made)


def _return_to(handles: Services) -> ReturnTo:
    return ReturnTo(success_url=handles.payment_return_url, cancel_url=handles.payment_return_url)


def _amount(sent: float) -> int:
    try:
        return microcredits_from_number(sent)
    except e.InvalidInput as wrong:
        raise e.InvalidInput(wrong.message, details={"field": "amount"}) from wrong


def _shown(offer: Offer) -> schemas.Offer:
    credits = None if offer.microcredits is None else exact_credits(offer.microcredits)
    return schemas.Offer(name=offer.name, label=offer.label, credits=credits)


def _rule(rule: Rule | None) -> schemas.TopUpRule:
    if rule is None:
        return schemas.TopUpRule(
            enabled=False, amount=10, daily_max=1, payment_method_saved=False, stopped_because=None
        )
    return schemas.TopUpRule(
        enabled=rule.enabled,
        amount=exact_credits(rule.amount_micros),
        daily_max=rule.daily_max,
        payment_method_saved=rule.payment_method_id is not None,
        stopped_because=rule.stopped_because,
    )
