"""`expand[]`: ids replaced by the objects, and the members that are only shown on request."""

from __future__ import annotations

from typing import Any

from sandbox.stripe.problems import invalid
from sandbox.stripe.store import Doc
from sandbox.stripe.world import INCLUDABLE, World, listed, shown

_DEPTH_MAX = 4


def expanded(world: World, doc: Doc, paths: list[Any]) -> Doc:
    """The answer for an object, with its expansions. Raises a refusal for a member that is no object's id."""
    answer: Doc = shown(doc)
    for path in paths:
        steps = str(path).split(".")
        if len(steps) > _DEPTH_MAX:
            raise invalid(f"You cannot expand more than {_DEPTH_MAX} levels of a property. Property: {path}")
        _expand(world, answer, steps, str(path))
    return answer


def _expand(world: World, node: Any, steps: list[str], path: str) -> None:
    if isinstance(node, list):
        for one in node:
            _expand(world, one, steps, path)
        return
    if not isinstance(node, dict) or not steps:
        return
    name, rest = steps[0], steps[1:]
    if name not in node:
        if name not in INCLUDABLE.get(node.get("object", ""), set()):
            raise invalid(f"This property cannot be expanded ({path}).", param="expand[0]")
        node[name] = _included(world, node, name)
    elif isinstance(node[name], str):
        found = world.store.get(node[name])
        if found is None:
            raise invalid(f"This property cannot be expanded ({path}).", param="expand[0]")
        node[name] = shown(found)
    elif isinstance(node[name], list) and node[name] and isinstance(node[name][0], str):
        node[name] = [shown(world.store.get(one)) for one in node[name]]
    elif isinstance(node[name], int | float):
        raise invalid(f"This property cannot be expanded ({path}).", param="expand[0]")
    _expand(world, node[name], rest, path)


def _included(world: World, node: Doc, name: str) -> Doc:
    if name == "refunds":
        refunds = world.store.find("refund", {"charge": node["id"]})
        return listed(shown(refunds), f"/v1/charges/{node['id']}/refunds")
    if name == "payments":
        payments = world.find("invoice_payment", invoice=node["id"])
        return listed(shown(payments), f"/v1/invoices/{node['id']}/payments")
    items = world.get("checkout.session", node["id"])["_line_items"]
    return listed(shown(items), f"/v1/checkout/sessions/{node['id']}/line_items")
