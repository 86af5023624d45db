"""Payment intents, setup intents and charges, as the API offers them."""

from __future__ import annotations

from sandbox.stripe import payments
from sandbox.stripe.cards import attach, method_of, secret_of
from sandbox.stripe.customers import living
from sandbox.stripe.operations import Call, Operations
from sandbox.stripe.prices import currency
from sandbox.stripe.problems import StripeRefusal, card, invalid
from sandbox.stripe.store import Doc
from sandbox.stripe.world import World, shown, with_metadata

OPERATIONS = Operations()
OPERATIONS.reads("/payment_intents", "payment_intent", "customer")
OPERATIONS.reads("/setup_intents", "setup_intent", "customer payment_method")
OPERATIONS.reads("/charges", "charge", "customer payment_intent")
_LEAST = {"usd": 50, "eur": 50, "gbp": 30, "jpy": 50}
_THREE_DECIMALS = {"bhd", "jod", "kwd", "omr", "tnd"}
_CONFIRM = (
    "payment_method off_session:any return_url error_on_requires_action:bool mandate_data:map use_stripe_sdk:bool"
)
_WAITING = {"requires_payment_method", "requires_confirmation", "requires_action"}


@OPERATIONS.add(
    "POST",
    "/payment_intents",
    f"amount!:int currency! customer description metadata:map confirm:bool {_CONFIRM} payment_method_types:list "
    "automatic_payment_methods:map setup_future_usage receipt_email statement_descriptor capture_method",
)
def create(world: World, call: Call) -> Doc:
    unit, amount = currency(call.params["currency"]), call.params["amount"]
    _check_amount(amount, unit)
    if customer := call.get("customer"):
        living(world, customer, "customer")
    method = method_of(world, call.get("payment_method"), "payment_method") if call.get("payment_method") else None
    if method and method["customer"] not in {None, customer}:
        raise invalid(
            f"The provided PaymentMethod ({method['id']}) can't be used with the customer.", param="payment_method"
        )
    doc = payments.new_intent(
        world,
        amount,
        unit,
        customer=customer,
        description=call.get("description"),
        metadata=call.get("metadata"),
        setup_future_usage=call.get("setup_future_usage"),
        types=call.get("payment_method_types"),
    )
    if method:
        world.save(doc, {"payment_method": method["id"], "status": "requires_confirmation"})
    return _confirmed(world, doc, call) if call.get("confirm") else doc


@OPERATIONS.add(
    "POST",
    "/payment_intents/{id}",
    "amount:int currency customer description metadata:map payment_method setup_future_usage",
)
def update(world: World, call: Call) -> Doc:
    doc = world.get("payment_intent", call.id)
    names = ("amount", "currency", "customer", "description", "payment_method", "setup_future_usage")
    changes = {name: call.params[name] for name in names if name in call}
    if doc["status"] not in _WAITING and set(changes) - {"description"}:
        raise _wrong_state(doc, "update")
    return world.save(doc, {**changes, "metadata": with_metadata(doc, call.get("metadata"))})


@OPERATIONS.add("POST", "/payment_intents/{id}/confirm", _CONFIRM + " setup_future_usage")
def confirm(world: World, call: Call) -> Doc:
    doc = world.get("payment_intent", call.id)
    if doc["status"] not in _WAITING:
        raise _wrong_state(doc, "confirm")
    return _confirmed(world, doc, call)


@OPERATIONS.add("POST", "/payment_intents/{id}/cancel", "cancellation_reason")
def cancel(world: World, call: Call) -> Doc:
    doc = world.get("payment_intent", call.id)
    if doc["status"] not in _WAITING:
        raise _wrong_state(doc, "cancel")
    payments.cancel(world, doc, call.get("cancellation_reason"))
    return doc


@OPERATIONS.add("POST", "/charges/{id}", "description metadata:map customer receipt_email fraud_details:map")
def update_charge(world: World, call: Call) -> Doc:
    doc = world.get("charge", call.id)
    changes = {name: call.params[name] for name in ("description", "receipt_email", "fraud_details") if name in call}
    world.save(doc, {**changes, "metadata": with_metadata(doc, call.get("metadata"))})
    world.happened("charge.updated", doc)
    return doc


@OPERATIONS.add(
    "POST",
    "/setup_intents",
    "customer payment_method confirm:bool usage metadata:map description payment_method_types:list "
    "automatic_payment_methods:map return_url",
)
def create_setup(world: World, call: Call) -> Doc:
    doc = new_setup(world, call.get("customer"), call.get("metadata"), call.get("usage", "off_session"))
    if method := call.get("payment_method"):
        world.save(doc, {"payment_method": method_of(world, method, "payment_method")["id"]})
    return set_up(world, doc) if call.get("confirm") else doc


@OPERATIONS.add("POST", "/setup_intents/{id}/confirm", "payment_method return_url")
def confirm_setup(world: World, call: Call) -> Doc:
    doc = world.get("setup_intent", call.id)
    if method := call.get("payment_method"):
        world.save(doc, {"payment_method": method_of(world, method, "payment_method")["id"]})
    return set_up(world, doc)


@OPERATIONS.add("POST", "/setup_intents/{id}/cancel", "cancellation_reason")
def cancel_setup(world: World, call: Call) -> Doc:
    doc = world.get("setup_intent", call.id)
    world.save(doc, {"status": "canceled", "cancellation_reason": call.get("cancellation_reason")})
    world.happened("setup_intent.canceled", doc)
    return doc


def new_setup(world: World, customer: str | None, metadata: Doc | None, usage: str = "off_session") -> Doc:
    if customer:
        living(world, customer, "customer")
    doc = world.new(
        "setup_intent",
        {
            "application": None,
            "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
            "cancellation_reason": None,
            "client_secret": None,
            "customer": customer,
            "description": None,
            "flow_directions": None,
            "last_setup_error": None,
            "latest_attempt": None,
            "mandate": None,
            "metadata": with_metadata({}, metadata),
            "next_action": None,
            "on_behalf_of": None,
            "payment_method": None,
            "payment_method_options": {},
            "payment_method_types": ["card", "us_bank_account"],
            "single_use_mandate": None,
            "status": "requires_payment_method",
            "usage": usage,
        },
    )
    world.save(doc, {"client_secret": secret_of(doc["id"])})
    world.happened("setup_intent.created", doc)
    return doc


def set_up(world: World, doc: Doc) -> Doc:
    """The method can be charged from now on. Raises a refusal for a card that is declined."""
    method = world.get("payment_method", doc["payment_method"], "payment_method")
    if method["_behaves"] in {"declines", "expired"} and not doc["customer"]:
        world.happened("setup_intent.setup_failed", doc)
    if doc["customer"]:
        attach(world, method, doc["customer"])
    world.save(doc, {"status": "succeeded"})
    world.happened("setup_intent.succeeded", doc)
    return doc


def _confirmed(world: World, doc: Doc, call: Call) -> Doc:
    given = call.get("payment_method") or doc["payment_method"]
    if given is None:
        raise invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            code="payment_intent_unexpected_state",
        )
    method = method_of(world, given, "payment_method")
    off_session = call.get("off_session") not in {None, "false"}
    if off_session and not doc["customer"]:
        raise invalid("You must provide a customer when off_session is true.", param="customer")
    strict = off_session or bool(call.get("error_on_requires_action"))
    error = payments.attempt(world, doc, method, off_session=strict)
    if error is not None:
        raise card({**error, "payment_method": shown(method)}, shown(doc))
    return doc


def _check_amount(amount: int, unit: str) -> None:
    if amount < 1:
        raise invalid("Invalid positive integer", param="amount", code="parameter_invalid_integer")
    if amount < _LEAST.get(unit, 1):
        raise invalid(
            f"Amount must be at least {_LEAST[unit]} {unit} in minor units.", param="amount", code="amount_too_small"
        )
    if unit in _THREE_DECIMALS and amount % 10:
        raise invalid("Invalid amount: must be evenly divisible by ten.", param="amount", code="invalid_charge_amount")


def _wrong_state(doc: Doc, verb: str) -> StripeRefusal:
    said = f"You cannot {verb} this PaymentIntent because it has a status of {doc['status']}."
    return invalid(said, code="payment_intent_unexpected_state")
