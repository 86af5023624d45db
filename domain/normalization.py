"""Request bodies to normal form: what was asked for, complete, exact and in one spelling, or all that is wrong.

Pure, deterministic and idempotent: the normal form of a normal form is itself. Nothing is coerced (1.0 is 1, as in
JSON; "1" is not), nothing is altered in a prompt, nothing unknown is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from domain.addresses import PUBLIC_ONLY, AddressRules
from domain.errors import ModelTypeMismatch, ParameterOutOfRange, UnsupportedProviderOrder
from domain.fields import (
    CONTRACT_NAMES,
    DURATION,
    FASTEST,
    INPUT_FILE,
    LAST_FRAME,
    RESOLUTION,
    Field,
    FieldKind,
    Scalar,
)
from domain.generation import MediaType
from domain.model import Model
from domain.problems import PROBLEMS_MAX, Problem, clip, echo, kind_of, nearest, refuse
from domain.url_checks import checked_url, checked_urls

SAFE_INTEGER_MAX = 2**53 - 1


def normalize(
    model: Model, media_type: MediaType, body: object, addresses: AddressRules = PUBLIC_ONLY
) -> dict[str, Any]:
    """The normal form of a request body. The body is not modified, and the result shares nothing with it.
    `addresses` says which hosts a file's address may name beside public ones.

    Raises ModelTypeMismatch, or one error with all problems in `details.problems` (at most 50): ParameterOutOfRange
    when all that is wrong are values outside of the model's range, UnsupportedProviderOrder when it is the order
    alone, else InvalidInput.
    """
    if media_type != model.media_type:
        raise _wrong_route(model)
    if not isinstance(body, dict):
        refuse([Problem("", "invalid_type", f"The body must be a JSON object, not {kind_of(body)}.")])
    if media_type is MediaType.IMAGE and DURATION in body:
        raise ModelTypeMismatch(
            f"{model.identifier} is an image model: {DURATION} must be absent.", details={"field": DURATION}
        )

    normal: dict[str, Any] = {}
    problems: list[Problem] = []
    met = 0
    for field in model.fields:
        name = field.name
        if name in body:
            met += 1
            value = _checked(field, body[name], addresses)
            faults = [part for part in (value if isinstance(value, list) else [value]) if isinstance(part, Problem)]
            if faults:
                problems += faults
            else:
                normal[name] = value
        elif field.default is not None:
            normal[name] = field.default
        elif field.required:
            problems.append(Problem(name, "missing_required", f"{name} is required.", allowed=field.choices or None))
    problems.extend(_conflicts(model, normal, body))
    if met < len(body):
        problems.extend(_unknown(model, body))
    if problems:
        refuse(problems)
    return normal


def order_of(model: Model, normal: dict[str, Any]) -> tuple[str, ...]:
    """The providers that a normal form allows, in the order in which they are to be tried."""
    order: str = normal["generation_provider_order"]
    return model.default_order if order == FASTEST else tuple(order.split(", "))


def _wrong_route(model: Model) -> ModelTypeMismatch:
    hint = f"; {DURATION} is required" if model.media_type is MediaType.VIDEO else f"; {DURATION} must be absent"
    return ModelTypeMismatch(
        f"{model.identifier} is not offered here: use /v1/generate/{model.media_type}/{model.identifier}{hint}.",
        details={"model_type": str(model.media_type)},
    )


# --- one check per kind: the normal value, or the problem ----------------------------------------------------------


def _checked(field: Field, value: object, addresses: AddressRules) -> Scalar | list[str | Problem] | Problem:
    if field.kind is FieldKind.URL:
        return checked_url(field, value, addresses)
    if field.kind is FieldKind.URL_LIST:
        return checked_urls(field, value, addresses)
    return _CHECKS[field.kind](field, value)


def _text(field: Field, value: object) -> Scalar | Problem:
    name = field.name
    if not isinstance(value, str):
        return Problem(name, "invalid_type", f"{name} must be a string, not {kind_of(value)}.")
    if "\x00" in value or not _is_unicode(value):
        return Problem(name, "invalid_text", f"{name} must be valid Unicode without NUL.")
    length = len(value.strip())  # for the check only: a prompt is passed on as it is
    if field.minimum is not None and length < field.minimum:
        return Problem(name, "min_length", f"{name} must not be blank.", minimum=field.minimum)
    if field.maximum is not None and length > field.maximum:
        message = f"{name} must have at most {field.maximum} characters; it has {length}."
        return Problem(name, "max_length", message, maximum=field.maximum)
    return value


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _choice(field: Field, value: object) -> Scalar | Problem:
    if not isinstance(value, str):
        return _wrong_type(field, "a string", value, allowed=field.choices)
    return value if value in field.choices else _not_listed(field, value)


def _number_choice(field: Field, value: object) -> Scalar | Problem:
    number = _number_of(value)
    if number is None:
        return _wrong_type(field, "a number", value, allowed=field.choices)
    return number if number in field.choices else _not_listed(field, value)


def _integer(field: Field, value: object) -> Scalar | Problem:
    number = _number_of(value)
    if not isinstance(number, int):
        return _wrong_type(field, "a whole number", value)
    return _within(field, number)


def _number(field: Field, value: object) -> Scalar | Problem:
    number = _number_of(value)
    return _wrong_type(field, "a number", value) if number is None else _within(field, number)


def _switch(field: Field, value: object) -> Scalar | Problem:
    return value if isinstance(value, bool) else _wrong_type(field, "true or false", value)


def _provider_order(field: Field, value: object) -> Scalar | Problem:
    if not isinstance(value, str):
        return _wrong_type(field, "a string", value)
    names = [name.strip() for name in value.split(",")]
    if names == [FASTEST]:
        return FASTEST
    if len(set(names)) == len(names) and all(name in field.choices for name in names):
        return ", ".join(names)
    providers = ", ".join(map(str, field.choices))
    return Problem(
        field.name,
        "unsupported_value",
        f"{field.name} must be {FASTEST} or providers of this model, each at most once: {providers}.",
        UnsupportedProviderOrder,
        allowed=(FASTEST, providers),
        received=echo(value),
    )


_CHECKS: dict[FieldKind, Callable[[Field, object], Scalar | Problem]] = {
    FieldKind.TEXT: _text,
    FieldKind.CHOICE: _choice,
    FieldKind.NUMBER_CHOICE: _number_choice,
    FieldKind.INTEGER: _integer,
    FieldKind.NUMBER: _number,
    FieldKind.SWITCH: _switch,
    FieldKind.PROVIDER_ORDER: _provider_order,
}


# --- what the checks share -----------------------------------------------------------------------------------------


def _number_of(value: object) -> int | float | None:
    """A finite JSON number, whole ones as int (5.0 is 5, -0.0 is 0); None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return int(value) if value.is_integer() else value
    return None


def _within(field: Field, number: int | float) -> Scalar | Problem:
    name, low, high = field.name, field.minimum, field.maximum
    if isinstance(number, int) and abs(number) > SAFE_INTEGER_MAX:
        code, message = "unsafe_integer", f"{name} must lie within ±(2^53 - 1)."
    elif low is not None and number < low:
        code, message = "min_value", f"{name} must be at least {low}."
    elif high is not None and number > high:
        code, message = "max_value", f"{name} must be at most {high}."
    else:
        return number
    return Problem(name, code, message, ParameterOutOfRange, minimum=low, maximum=high, received=echo(number))


def _wrong_type(field: Field, wanted: str, value: object, allowed: tuple[str | int, ...] | None = None) -> Problem:
    message = f"{field.name} must be {wanted}, not {kind_of(value)}."
    if isinstance(value, float):
        message = f"{field.name} must be {wanted}."
    return Problem(field.name, "invalid_type", message, allowed=allowed, received=echo(value))


def _not_listed(field: Field, value: object) -> Problem:
    listed = ", ".join(map(str, field.choices))
    return Problem(
        field.name,
        "unsupported_value",
        f"{field.name} must be one of: {listed}.",
        ParameterOutOfRange,
        allowed=field.choices,
        received=echo(value),
        suggestion=nearest(value, map(str, field.choices)) if isinstance(value, str) else None,
    )


def _conflicts(model: Model, normal: dict[str, Any], body: dict[Any, Any]) -> Iterable[Problem]:
    """What single fields cannot show, of those that are right by themselves."""
    if model.durations_by_resolution and DURATION in normal and RESOLUTION in normal:
        yield from _duration_conflict(model, normal[DURATION], normal[RESOLUTION])
    if LAST_FRAME in normal and INPUT_FILE not in body:
        yield Problem(LAST_FRAME, "requires", f"{LAST_FRAME} needs a first frame in {INPUT_FILE}.")


def _duration_conflict(model: Model, duration: int, resolution: str) -> Iterable[Problem]:
    allowed = model.durations_at(resolution)
    if duration not in allowed:
        listed = ", ".join(map(str, allowed))
        message = f"{DURATION} at {resolution} must be one of: {listed}."
        yield Problem(
            DURATION, "conflicts_with", message, ParameterOutOfRange, allowed=allowed, received=echo(duration)
        )


def _unknown(model: Model, body: dict[Any, Any]) -> Iterable[Problem]:
    """One problem per undeclared name, sorted. Only those that will be shown get a suggestion, which costs time."""
    names = sorted(str(name) for name in body if name not in model.field_names)
    for number, name in enumerate(names):
        if name in CONTRACT_NAMES:
            yield Problem(name, "not_available_here", f"{model.identifier} has no {name}.")
            continue
        suggestion = _meant(model, name) if number < PROBLEMS_MAX else None
        hint = f" Did you mean {suggestion}?" if suggestion else ""
        message = f"{model.identifier} has no field {clip(name)}.{hint}"
        yield Problem(name, "unknown_field", message, suggestion=suggestion)


def _meant(model: Model, name: str) -> str | None:
    prefixed = f"generation_{name}"
    return prefixed if prefixed in model.field_names else nearest(name, sorted(model.field_names))
