"""What the API offers: a table of operations that each module adds its own to, and the pages of its lists."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sandbox.stripe.forms import checked, whole
from sandbox.stripe.problems import invalid
from sandbox.stripe.store import Doc
from sandbox.stripe.world import World, listed

OPERATIONS_PAGE = "limit:int starting_after ending_before"
_LIMIT_MAX = 100
_COMPARED = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


@dataclass(frozen=True, slots=True)
class Call:
    """One request as an operation sees it."""

    path: str  # as sent: /v1/customers/cus_1
    id: str  # what stood in the path's first gap; "" where it has none
    second: str  # and in the second
    params: Doc

    def get(self, name: str, default: Any = None) -> Any:
        """A parameter; unset and absent ones are the default."""
        value = self.params.get(name)
        return default if value is None else value

    def __contains__(self, name: str) -> bool:
        return name in self.params


Run = Callable[[World, Call], Doc]


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str  # /customers/{id}
    words: str  # its parameters, as `forms.checked` reads them
    run: Run
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        pattern = re.compile(re.sub(r"\{\w+\}", "([^/]+)", self.path) + r"\Z")
        object.__setattr__(self, "pattern", pattern)


class Operations:
    def __init__(self, offered: Iterable[Operation] = ()) -> None:
        self._all = list(offered)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._all)

    def add(self, method: str, path: str, words: str = "") -> Callable[[Run], Run]:
        def added(run: Run) -> Run:
            self._all.append(Operation(method, path, words, run))
            return run

        return added

    def reads(self, path: str, kind: str, filters: str = "") -> None:
        """`GET path/{id}` and `GET path`, its list, with filters on members of the same name, besides `created`."""
        self.add("GET", path + "/{id}")(lambda world, call: world.get(kind, call.id))
        self.add("GET", path, f"{filters} created:any {OPERATIONS_PAGE}")(
            lambda world, call: page(world, call, kind, _asked(filters, call))
        )

    def match(self, method: str, path: str) -> tuple[Operation, list[str]] | None:
        for operation in self._all:
            if operation.method == method and (found := operation.pattern.match(path)):
                return operation, [*found.groups(), "", ""]
        return None


def _asked(filters: str, call: Call) -> Doc:
    """Member -> value or values wanted. `types` is a list of what the member `type` may be."""
    named = {word.partition(":")[0]: word.endswith(":list") for word in filters.split()}
    return {
        name.removesuffix("s") if many else name: call.params[name]
        for name, many in named.items()
        if call.get(name) is not None
    }


def page(world: World, call: Call, kind: str, equal: Doc) -> Doc:
    """Newest first, `limit` of them (10, at most 100), from a cursor on. Raises a refusal."""
    limit = call.get("limit", 10)
    if not 1 <= limit <= _LIMIT_MAX:
        said = "This value must be " + (
            "less than or equal to 100." if limit > _LIMIT_MAX else "greater than or equal to 1."
        )
        raise invalid(said, param="limit", code="parameter_invalid_integer")
    clauses: list[tuple[str, int | None]] = list(_created(call.get("created")))
    backwards = False
    for name, sign in (("starting_after", "<"), ("ending_before", ">")):
        if cursor := call.get(name):
            world.get(kind, cursor, name)
            clauses.append((f"number {sign} ?", world.store.rank(cursor)))
            backwards = sign == ">"
    found = world.store.find(kind, equal, clauses=tuple(clauses), oldest_first=backwards, limit=limit + 1)
    docs = found[:limit]
    return listed(docs[::-1] if backwards else docs, call.path, has_more=len(found) > limit)


def listing(docs: list[Doc], call: Call) -> Doc:
    """A page of objects that live inside another one, oldest first."""
    limit, after = call.get("limit", 10), call.get("starting_after")
    ids = [doc["id"] for doc in docs]
    if after is not None and after not in ids:
        raise invalid(f"No such object: '{after}'", param="starting_after", code="resource_missing")
    rest = docs[ids.index(after) + 1 :] if after else docs
    return listed(rest[:limit], call.path, has_more=len(rest) > limit)


def _created(given: Any) -> list[tuple[str, int]]:
    if given is None:
        return []
    if isinstance(given, str):
        return [("created = ?", whole(given, "created"))]
    if not isinstance(given, dict) or not set(given) <= set(_COMPARED):
        raise invalid("Invalid created: use gt, gte, lt or lte.", param="created")
    return [(f"created {_COMPARED[name]} ?", whole(value, f"created[{name}]")) for name, value in given.items()]


def call_of(operation: Operation, path: str, ids: list[str], given: Doc) -> Call:
    """Raises a refusal for a parameter."""
    return Call(path, ids[0], ids[1], checked(given, operation.words))
