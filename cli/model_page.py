"""One model explained: as a document, and as a page to read."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import Any

from rich.markup import escape

from cli.output import out, print_table
from domain.errors import ModelUnpriced
from domain.fields import DURATION, INPUT_FILE, PROMPT, Field, FieldKind, values_of
from domain.generation import MediaType
from domain.mapping import CannotServe, compile_native, field_fates
from domain.model import Model, ProviderEntry, Rates
from domain.normalization import normalize
from domain.pricing import quote, text_from_microcredits

Document = dict[str, Any]

_EXAMPLES = {
    MediaType.IMAGE: "https://example.com/input.png",
    MediaType.VIDEO: "https://example.com/input.mp4",
}


def minimal_body(model: Model) -> Document:
    """The least that a request for it needs."""
    body: Document = {}
    if PROMPT in model.field_names:
        body[PROMPT] = "a harbour at dawn"
    for field in model.fields:
        if field.required and field.name == DURATION:
            body[DURATION] = field.choices[0]
        elif field.required and field.name == INPUT_FILE:
            body[INPUT_FILE] = [_EXAMPLES[model.input_kind(index)] for index in range(int(field.minimum or 1))]
    return body


def page(model: Model, body: object, *, available: Collection[str], on: date) -> Document:
    """Everything that is known of the model, and what this request would become.

    Raises InvalidInput, ParameterOutOfRange, UnsupportedProviderOrder for a body that would be refused.
    """
    params = normalize(model, model.media_type, body)
    sent = body.keys() if isinstance(body, dict) else ()
    return {
        "model_identifier": model.identifier,
        "name": model.name,
        "lab": model.lab,
        "model_type": model.media_type.value,
        "confidence": model.confidence,
        "retires_on": model.retires_on,
        "fields": [_field(field) for field in model.fields],
        "price": _price(model, on),
        "providers": [_provider(entry, available, on) for entry in model.providers],
        "request": {
            "body": body,
            "normal_form": params,
            "quote": _quote(model, params, on),
            "native": {entry.provider: _native(model, entry, params, sent) for entry in model.providers},
        },
    }


def print_page(shown: Document) -> None:
    out.print(f"[bold]{escape(shown['model_identifier'])}[/]  {escape(shown['name'])}, by {escape(shown['lab'])}")
    ends = f", retires on {shown['retires_on']}" if shown["retires_on"] else ""
    out.print(f"{shown['model_type']}, {shown['confidence']}{ends}", markup=False)
    _heading("Fields")
    print_table(("name", "what it takes", "default"), (_row_of_field(field) for field in shown["fields"]))
    _heading("Price in credits")
    _print_price(shown["price"])
    _heading("Providers, in the order in which they are tried")
    columns = ("provider", "key", "native model", "delivery", "cost", "confidence", "retires")
    print_table(columns, (_row_of_provider(one) for one in shown["providers"]))
    request = shown["request"]
    _heading(f"What each would be sent for {json.dumps(request['body'], ensure_ascii=False)}")
    quoted = request["quote"]
    out.print(f"It costs {quoted} credits." if quoted else "It cannot be sold: it has no price.", markup=False)
    for provider, native in request["native"].items():
        _print_native(provider, native)


# --- the document -------------------------------------------------------------------------------------------------


def _field(field: Field) -> Document:
    return {
        "name": field.name,
        "kind": field.kind.value,
        "required": field.required,
        "default": field.default,
        "values": list(field.choices) or list(values_of(field)) or None,
        "minimum": field.minimum,
        "maximum": field.maximum,
    }


def _price(model: Model, on: date) -> Document | None:
    try:
        price = model.prices.at(on)
    except ModelUnpriced:
        return None
    return {
        "version": price.version,
        "effective": price.effective,
        "per": price.unit.value,
        "basis": price.basis,
        "credits": _rates(price.rates),
    }


def _rates(rates: Rates) -> str | dict[str, str]:
    if rates.tiers is None:
        return text_from_microcredits(rates.at(None, audio=False))
    return {tier: text_from_microcredits(amount) for tier, amount in rates.tiers.items()}


def _provider(entry: ProviderEntry, available: Collection[str], on: date) -> Document:
    return {
        "provider": entry.provider,
        "available": entry.provider in available,
        "native_model": entry.native_model,
        "delivery": entry.delivery.value,
        "default": entry.default,
        "cost": None if entry.cost is None else _rates(entry.cost),
        "confidence": entry.confidence,
        "mapping_version": entry.mapping_version,
        "retires_on": entry.retires_on,
        "retired": entry.retires_on is not None and entry.retires_on <= on,
    }


def _quote(model: Model, params: Mapping[str, Any], on: date) -> str | None:
    try:
        return text_from_microcredits(quote(model, params, params["generation_output_number"], on=on).microcredits)
    except ModelUnpriced:
        return None


def _native(model: Model, entry: ProviderEntry, params: Mapping[str, Any], sent: Collection[str]) -> Document:
    try:
        native = compile_native(entry, params)
    except CannotServe as cannot:
        return {"cannot_serve": cannot.field}
    fates = field_fates(model, entry, params, sent)
    return {
        "model": native.native_model,
        "endpoint": native.endpoint or None,
        "input": native.native_input,
        "not_sent": {fate.field: fate.because for fate in fates if fate.because is not None},
    }


# --- the page -----------------------------------------------------------------------------------------------------


def _heading(text: str) -> None:
    out.print()
    out.print(f"[bold]{escape(text)}[/]")


def _row_of_field(field: Document) -> tuple[str, str, str]:
    default = "required" if field["required"] else "-" if field["default"] is None else json.dumps(field["default"])
    return field["name"], ", ".join(_takes(field)), default


def _takes(field: Document) -> Iterator[str]:
    kind = FieldKind(field["kind"])
    low, high = field["minimum"], field["maximum"]
    if kind is FieldKind.PROVIDER_ORDER:
        yield f"fastest, or an order of {', '.join(field['values'])}"
    elif field["values"]:
        yield " ".join(json.dumps(value) if isinstance(value, bool) else str(value) for value in field["values"])
    elif kind is FieldKind.URL_LIST:
        yield f"{f'{low} to {high} addresses of files' if high != 1 else 'the address of a file'}, in a list"
    elif kind is FieldKind.URL:
        yield "the address of a file"
    elif kind is FieldKind.TEXT:
        yield f"text of {low} to {high} characters"
    else:
        yield "a whole number" if kind is FieldKind.INTEGER else "a number"
        yield from (f"at {word} {bound}" for word, bound in (("least", low), ("most", high)) if bound is not None)


def _print_price(price: Document | None) -> None:
    if price is None:
        out.print("It has none yet, so it is not sold.")
        return
    amounts = price["credits"]
    rows = amounts.items() if isinstance(amounts, dict) else [("all", amounts)]
    print_table(("tier", f"per {price['per']}"), rows)
    out.print(f"{price['version']}, since {price['effective']}; basis: {price['basis']}", markup=False)


def _row_of_provider(one: Document) -> tuple[str, ...]:
    cost = one["cost"]
    if isinstance(cost, dict):
        cost = " ".join(f"{tier} {amount}" for tier, amount in cost.items())
    return (
        one["provider"] if one["default"] else f"{one['provider']} (only when named)",
        "yes" if one["available"] else "no",
        one["native_model"],
        one["delivery"],
        cost or "as the price",
        one["confidence"],
        f"retired {one['retires_on']}" if one["retired"] else str(one["retires_on"] or "-"),
    )


def _print_native(provider: str, native: Document) -> None:
    out.print()
    if "cannot_serve" in native:
        out.print(f"{provider}: skipped, because it cannot honour this {native['cannot_serve']}", markup=False)
        return
    where = f" at {native['endpoint']}" if native["endpoint"] else ""
    out.print(f"{provider}: {native['model']}{where}", markup=False)
    out.print(json.dumps(native["input"], indent=2, ensure_ascii=False), markup=False)
    for field, because in native["not_sent"].items():
        out.print(f"not sent: {field}: {because}", markup=False)
