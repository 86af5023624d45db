"""How Stripe refuses: one error document, its type deciding which exception its package raises."""

from __future__ import annotations

from typing import Any

_DOCS = "https://stripe.com/docs/error-codes/"


class StripeRefusal(Exception):
    """The request is answered with an error. `keeps`: what was done stays, and a repeat is told it again."""

    def __init__(self, status: int, error: dict[str, Any], *, keeps: bool = False) -> None:
        super().__init__(error.get("message"))
        self.status = status
        self.error = error
        self.keeps = keeps


def invalid(message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> StripeRefusal:
    error: dict[str, Any] = {"message": message, "type": "invalid_request_error"}
    if param is not None:
        error["param"] = param
    if code is not None:
        error |= {"code": code, "doc_url": f"{_DOCS}{code.replace('_', '-')}"}
    return StripeRefusal(status, error)


def missing(kind: str, object_id: str, param: str | None) -> StripeRefusal:
    """`param` None: the id stood in the path."""
    said = f"No such {kind.replace('.', ' ').replace('_', ' ')}: '{object_id}'"
    found = {"param": param or "id", "code": "resource_missing"}
    return invalid(said, status=400 if param else 404, **found)


def unrecognized(method: str, path: str) -> StripeRefusal:
    said = f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we can help at "
    return invalid(said + "https://support.stripe.com/.", status=404)


def unauthenticated(key: str | None) -> StripeRefusal:
    if key is None:
        said = (
            "You did not provide an API key. You need to provide your API key in the Authorization header, using "
            "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
        )
    else:
        said = f"Invalid API Key provided: {key[:8]}{'*' * 16}{key[-4:]}"
    return StripeRefusal(401, {"message": said, "type": "invalid_request_error"})


def card(error: dict[str, Any], intent: dict[str, Any]) -> StripeRefusal:
    """A declined payment: 402, and the failed attempt stays on record."""
    return StripeRefusal(402, {"type": "card_error", **error, "payment_intent": intent}, keeps=True)


def other_parameters(key: str) -> StripeRefusal:
    said = (
        "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a "
        f"key other than '{key}' if you meant to execute a different request."
    )
    return StripeRefusal(400, {"message": said, "type": "idempotency_error"})


def other_endpoint(here: str, first: str) -> StripeRefusal:
    said = (
        "Keys for idempotent requests can only be used for the same endpoint they were first used for "
        f"('{here}' vs '{first}'). Try using a different idempotency key if you meant to execute a different request."
    )
    return StripeRefusal(400, {"message": said, "type": "idempotency_error"})


def key_in_use(key: str) -> StripeRefusal:
    said = f"There is currently another in-progress request using this Idempotent Key: '{key}'. Please try again later."
    error = {"message": said, "type": "idempotency_error", "code": "idempotency_key_in_use"}
    return StripeRefusal(409, error)


def rate_limited() -> StripeRefusal:
    said = "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits."
    return StripeRefusal(429, {"message": said, "type": "invalid_request_error", "code": "rate_limit"})


def broken(*, keeps: bool = False) -> StripeRefusal:
    said = "An unknown error occurred"
    return StripeRefusal(500, {"message": said, "type": "api_error"}, keeps=keeps)
