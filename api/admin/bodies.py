"""What the operator API is sent: JSON objects whose every field is known, and lists by the page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query, Request
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from api.query import WholeNumber
from api.samples import answering
from domain import strict_json
from domain.errors import InvalidInput, UnsupportedMediaType
from domain.pricing import microcredits_from_number
from domain.problems import Problem, clip, kind_of, nearest, refuse

LIMIT_MAX, LIMIT_DEFAULT = 100, 50
OFFSET_MAX = 2**31 - 1

# Texts, by their pattern, with what is said of those that do not have it.
NAME = r"^[^\s\u0000-\u001f\u007f]([^\u0000-\u001f\u007f]*[^\s\u0000-\u001f\u007f])?$"
EMAIL = r"^[^@\s\u0000]+@[^@\s\u0000]+$"
HTTPS = r"^https://[^\s/\u0000]+(/[^\s\u0000]*)?$"
UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
STRIPE_CUSTOMER = r"^cus_[A-Za-z0-9]{1,100}$"
_RULES = {
    NAME: "must be one line that neither is blank nor begins or ends with a blank",
    EMAIL: "must be an email address",
    HTTPS: "must be an https address",
    UUID: "must be a UUID",
    STRIPE_CUSTOMER: "must be the id of a customer, cus_...",
}


class Body(BaseModel):
    """Base of the bodies: nothing unknown, and nothing read as something else ("1" is no number)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


B = TypeVar("B", bound=Body)
T = TypeVar("T")


def body(model: type[B]) -> Callable[[Request], Awaitable[B]]:
    """The dependency that reads the body. Ask for it after the caller, so that nobody else's body is looked at.

    Raises InvalidInput, which names the field and the rule; UnsupportedMediaType, PayloadTooLarge.
    """

    async def read(request: Request) -> B:
        sent = await request.body()
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if sent and media_type != "application/json":
            raise UnsupportedMediaType("The body must be sent as application/json.")
        value = strict_json.parse(sent or b"{}")
        if not isinstance(value, dict):
            refuse([Problem("", "invalid_type", f"The body must be a JSON object, not {kind_of(value)}.")])
        try:
            return model.model_validate(value)
        except ValidationError as error:
            refuse([_problem(model, found) for found in error.errors(include_url=False, include_input=False)])

    return read


def accepting(model: type[Body], example: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """What a route with a body adds to its operation in the OpenAPI document: the body, an example, its answer."""
    schema = {**_flat(model.model_json_schema()), "example": example}
    required = bool(schema.get("required"))
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": required, "content": content}, **answering(answer)}


def _flat(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with the shapes inside of it written out where they are used."""
    shapes = schema.pop("$defs", {})

    def written_out(node: Any) -> Any:
        if isinstance(node, dict):
            name = node.get("$ref", "").rpartition("/")[2]
            return written_out(shapes[name]) if name else {key: written_out(inner) for key, inner in node.items()}
        return [written_out(inner) for inner in node] if isinstance(node, list) else node

    flat: dict[str, Any] = written_out(schema)
    return flat


def amount_of(sent: float, field: str) -> int:
    """Whole micro-credits of a JSON number of credits. Raises InvalidInput, which names the field."""
    try:
        return microcredits_from_number(sent)
    except InvalidInput as wrong:
        raise InvalidInput(wrong.message, details={"field": field}) from wrong


def _problem(model: type[Body], found: ErrorDetails) -> Problem:
    names = [str(part) for part in found["loc"]]
    field = names[0] if names else ""
    match found["type"]:
        case "extra_forbidden":
            suggestion = nearest(field, model.model_fields)
            hint = f" Did you mean {suggestion}?" if suggestion else ""
            return Problem(field, "unknown_field", f"There is no field {clip(field)}.{hint}", suggestion=suggestion)
        case "missing":
            return Problem(field, "missing_required", f"{field} is required.")
        case "string_pattern_mismatch":
            return Problem(field, "pattern", f"{field} {_RULES[found['ctx']['pattern']]}.")
        case "value_error":  # a rule of ours, which says it in whole sentences
            return Problem(field, "refused", found["msg"].removeprefix("Value error, "))
        case kind:
            rule = found["msg"][:1].lower() + found["msg"][1:]
            return Problem(field, kind, f"{clip('.'.join(names))} is not accepted: {rule}.")


@dataclass(frozen=True)
class Slice:
    """Which part of a list is asked for; the effective values, as the answer repeats them."""

    limit: int
    offset: int

    def of(self, whole: Sequence[T]) -> list[T]:
        """The part of a list that is at hand."""
        return list(whole[self.offset : self.offset + self.limit])


async def _slice(
    limit: Annotated[WholeNumber, Query(description="1 to 100; values outside are clamped.")] = LIMIT_DEFAULT,
    offset: Annotated[WholeNumber, Query(description="0 or more.")] = 0,
) -> Slice:
    return Slice(limit=min(max(limit, 1), LIMIT_MAX), offset=min(max(offset, 0), OFFSET_MAX))


Paged = Annotated[Slice, Depends(_slice)]
