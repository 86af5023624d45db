"""Fields that hold addresses of files: what a body may say in them.

Only the text is judged, so the same body has the same answer everywhere; where an address leads is found out when the
file is fetched. An accepted address stays as it was typed: what is fetched is what was taken apart here, and the
customer knows its own address again. A refused one is not shown back: it may hold a token.
"""

from __future__ import annotations

from domain.addresses import AddressRules
from domain.errors import AddressRefused, ParameterOutOfRange
from domain.fields import Field
from domain.problems import Problem, kind_of


def checked_url(field: Field, value: object, addresses: AddressRules, index: int | None = None) -> str | Problem:
    place = field.name if index is None else f"{field.name}[{index}]"
    if not isinstance(value, str):
        return Problem(field.name, "invalid_type", f"{place} must be a string, not {kind_of(value)}.", index=index)
    try:
        addresses.well_formed(value)
    except AddressRefused as refused:
        message = f"{place} must be a public https address. {refused.message}"
        return Problem(field.name, "address_refused", message, index=index)
    return value


def checked_urls(field: Field, value: object, addresses: AddressRules) -> list[str | Problem] | Problem:
    """Each item as above. A list of the wrong length is one problem, and its items are not looked at."""
    name, low, high = field.name, field.minimum, field.maximum
    assert low is not None
    assert high is not None
    if not isinstance(value, list):
        return Problem(name, "invalid_type", f"{name} must be a list of addresses, not {kind_of(value)}.")
    if low <= len(value) <= high:
        return [checked_url(field, item, addresses, index) for index, item in enumerate(value)]
    code = "min_items" if len(value) < low else "max_items"
    message = f"{name} must have {low} to {high} items." if high > low else f"{name} must have exactly one item."
    return Problem(name, code, message, ParameterOutOfRange, minimum=low, maximum=high, received=str(len(value)))
