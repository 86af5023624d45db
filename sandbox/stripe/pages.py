"""The hosted pages under /stripe/pay: checkout, billing portal, invoice. Plain HTML; nothing needs JavaScript."""

from __future__ import annotations

import html
from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from sandbox.stripe import completing
from sandbox.stripe.acting import Actor
from sandbox.stripe.problems import StripeRefusal, missing
from sandbox.stripe.store import Doc
from sandbox.stripe.world import World

_PREFIX = "/stripe/pay"
_METHODS = {
    "pm_card_visa": "Card 4242, which pays",
    "pm_card_createDispute": "Card 0259, which pays and is disputed",
    "pm_card_chargeDeclined": "Card 0002, which is declined",
    "pm_usBankAccount": "Bank account, which takes days",
}
_NO_DECIMALS = {
    "bif",
    "clp",
    "djf",
    "gnf",
    "jpy",
    "kmf",
    "krw",
    "mga",
    "pyg",
    "rwf",
    "ugx",
    "vnd",
    "vuv",
    "xaf",
    "xof",
    "xpf",
}
_THREE_DECIMALS = {"bhd", "jod", "kwd", "omr", "tnd"}


class Pages:
    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._world = actor.world

    def routes(self) -> list[Route]:
        return [
            Route(f"{_PREFIX}/checkout/{{id}}", self.checkout),
            Route(f"{_PREFIX}/checkout/{{id}}", self.pay, methods=["POST"]),
            Route(f"{_PREFIX}/portal/{{id}}", self.portal),
            Route(f"{_PREFIX}/portal/{{id}}", self.change_subscription, methods=["POST"]),
            Route(f"{_PREFIX}/invoices/{{id}}", self.invoice),
        ]

    async def checkout(self, request: Request) -> Response:
        session = self._found(request, "checkout.session")
        return _page("Checkout", _checkout(session)) if session else _not_found()

    async def pay(self, request: Request) -> Response:
        session = self._found(request, "checkout.session")
        if session is None:
            return _not_found()
        form = parse_qs((await request.body()).decode())
        token, email = form.get("method", ["pm_card_visa"])[0], form.get("email", [""])[0] or None
        try:
            self._actor.act(request, lambda world: completing.pay(world, session, token, email))
        except StripeRefusal as refusal:
            told = f"<p class=bad role=alert>{html.escape(str(refusal))}</p>"
            return _page("Checkout", told + _checkout(self._found(request, "checkout.session") or session), 402)
        address = (session["success_url"] or "").replace("{CHECKOUT_SESSION_ID}", session["id"])
        return RedirectResponse(address, 303) if address else _page("Paid", "<h1>Thank you</h1>")

    async def portal(self, request: Request) -> Response:
        session = self._found(request, "billing_portal.session")
        if session is None:
            return _not_found()
        customer = self._world.get("customer", session["customer"])
        rows = "".join(map(_subscription, self._world.find("subscription", customer=customer["id"])))
        methods = "".join(
            f"<li>{html.escape(one['type'])} ending in {html.escape(one[one['type']]['last4'])}</li>"
            for one in self._world.find("payment_method", customer=customer["id"])
        )
        back = _link(session["return_url"], "Back to the shop") if session["return_url"] else ""
        return _page(
            "Billing",
            f"<h1>Billing of {html.escape(customer['email'] or customer['id'])}</h1><h2>Subscriptions</h2>"
            f"{rows or '<p>None.</p>'}<h2>Payment methods</h2><ul>{methods or '<li>None.</li>'}</ul><p>{back}</p>",
        )

    async def change_subscription(self, request: Request) -> Response:
        """Ends it with its period, or takes that back."""
        session = self._found(request, "billing_portal.session")
        if session is None:
            return _not_found()
        form = parse_qs((await request.body()).decode())
        named, ends = form.get("subscription", [""])[0], form.get("change", [""])[0] == "cancel"

        def change(world: World) -> Doc:
            subscription = world.get("subscription", named)
            if subscription["customer"] != session["customer"]:
                raise missing("subscription", named, None)
            end = subscription["items"]["data"][0]["current_period_end"] if ends else None
            previous = {
                "cancel_at_period_end": subscription["cancel_at_period_end"],
                "cancel_at": subscription["cancel_at"],
            }
            canceled = world.now_of(session["customer"]) if ends else None
            world.save(subscription, {"cancel_at_period_end": ends, "cancel_at": end, "canceled_at": canceled})
            world.happened("customer.subscription.updated", subscription, previous)
            return subscription

        return self._changed(request, session, change)

    def _changed(self, request: Request, session: Doc, change: Callable[[World], Doc]) -> Response:
        try:
            self._actor.act(request, change)
        except StripeRefusal as refusal:
            return _page("Billing", f"<p class=bad>{html.escape(str(refusal))}</p>", refusal.status)
        return RedirectResponse(f"{_PREFIX}/portal/{session['id']}", 303)

    async def invoice(self, request: Request) -> Response:
        doc = self._found(request, "invoice")
        if doc is None:
            return _not_found()
        rows = "".join(_row(one["description"] or "", one["amount"], one["currency"]) for one in doc["lines"]["data"])
        total = _row("Total", doc["total"], doc["currency"])
        title = html.escape(f"Invoice {doc['number'] or '(draft)'}: {doc['status']}")
        return _page("Invoice", f"<h1>{title}</h1><table>{rows}{total}</table>")

    def _found(self, request: Request, kind: str) -> Doc | None:
        doc = self._world.store.get(request.path_params["id"])
        return doc if doc is not None and doc["object"] == kind else None


def money(amount: int, currency: str) -> str:
    """Minor units as people read them: 12.50 USD."""
    decimals = 0 if currency in _NO_DECIMALS else 3 if currency in _THREE_DECIMALS else 2
    sign, digits = "-" if amount < 0 else "", str(abs(amount)).rjust(decimals + 1, "0")
    whole = f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits
    return f"{sign}{whole} {currency.upper()}"


def _checkout(session: Doc) -> str:
    if session["status"] != "open":
        return f"<h1>This checkout is {html.escape(session['status'])}</h1>"
    unit = session["currency"] or "usd"
    rows = "".join(
        _row(f"{one['quantity']} x {one['description']}", one["amount_subtotal"], unit)
        for one in session["_line_items"]
    )
    for label, name in (("Discount", "amount_discount"), ("Tax", "amount_tax"), ("Shipping", "amount_shipping")):
        amount = (session["total_details"] or {}).get(name, 0)
        rows += _row(label, -amount if name == "amount_discount" else amount, unit) if amount else ""
    if session["amount_total"] is not None:
        rows += _row(
            "To pay now" if session["mode"] == "payment" else "To pay each period", session["amount_total"], unit
        )
    options = "".join(f"<option value={token}>{html.escape(said)}" for token, said in _METHODS.items())
    email = html.escape(session["customer_email"] or "")
    verb = {"payment": "Pay", "subscription": "Subscribe", "setup": "Save"}[session["mode"]]
    cancel = _link(session["cancel_url"], "Cancel", "button") if session["cancel_url"] else ""
    return (
        f"<h1>Checkout</h1><p class=note>A simulated page: no money moves.</p><table>{rows}</table><form method=post>"
        f"<p><label>E-mail <input name=email type=email value='{email}'></label></p>"
        f"<p><label>Pay with <select name=method>{options}</select></label></p>"
        f"<p><button>{verb}</button> {cancel}</p></form>"
    )


def _subscription(doc: Doc) -> str:
    item, name = doc["items"]["data"][0], html.escape(doc["id"])
    price = item["price"]
    said = f"{money(price['unit_amount'] * item['quantity'], price['currency'])} each {price['recurring']['interval']}"
    ends = doc["cancel_at_period_end"]
    change, label = ("resume", "Keep it") if ends else ("cancel", "Cancel at the end of the period")
    button = f"<button name=change value={change}>{label}</button>" if doc["status"] != "canceled" else ""
    note = ", ends with its period" if ends else ""
    return (
        f"<form method=post><p>{html.escape(said)}: {doc['status']}{note} "
        f"<input type=hidden name=subscription value={name}>{button}</p></form>"
    )


def _row(label: str, amount: int, currency: str) -> str:
    return f"<tr><td>{html.escape(label)}<td class=sum>{html.escape(money(amount, currency))}</tr>"


def _link(address: str, label: str, css: str = "") -> str:
    return f'<a class="{css}" href="{html.escape(address)}">{label}</a>'


def _not_found() -> Response:
    return _page("Not found", "<h1>There is no such page</h1>", 404)


def _page(title: str, body: str, status: int = 200) -> Response:
    return HTMLResponse(_FRAME.replace("{title}", title).replace("{body}", body), status)


_FRAME = """<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content="width=device-width">
<title>{title}</title><style>
body{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:2rem auto;padding:0 1rem;color:#223}
table{border-collapse:collapse;width:100%}td{padding:.4rem 0;border-bottom:1px solid #dde}.sum{text-align:right}
button,.button{font:inherit;padding:.5rem 1.2rem;border:1px solid #446;border-radius:4px;background:#446;color:#fff;
text-decoration:none}.button{background:#fff;color:#446}input,select{font:inherit;padding:.3rem}
.bad{color:#a00}.note{color:#667}</style></head><body>{body}</body></html>"""
