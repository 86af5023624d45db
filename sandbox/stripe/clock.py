"""Time: what is due on a clock happens in order when the clock passes it. Test clocks, and the main one."""

from __future__ import annotations

import time
from collections.abc import Callable

from sandbox.stripe.operations import Call, Operations
from sandbox.stripe.problems import invalid
from sandbox.stripe.store import Doc
from sandbox.stripe.world import MAIN_CLOCK, World

OPERATIONS = Operations()
OPERATIONS.reads("/test_helpers/test_clocks", "test_helpers.test_clock")
RULES: dict[str, Callable[[World, Doc], None]] = {}  # word of a timer -> what happens then
_AT_ONCE_MAX = 10_000


def when(word: str) -> Callable[[Callable[[World, Doc], None]], Callable[[World, Doc], None]]:
    """This is what happens to an object when its timer of that name is due."""

    def added(rule: Callable[[World, Doc], None]) -> Callable[[World, Doc], None]:
        RULES[word] = rule
        return rule

    return added


def tick(world: World) -> None:
    """Do what became due on the main clock since."""
    _run(world, MAIN_CLOCK, world.now)


def advance(world: World, seconds: int) -> None:
    """Move the main clock on."""
    until = world.now + seconds
    _run(world, MAIN_CLOCK, until)
    world.run_ahead(until - int(time.time()))


def _run(world: World, clock: str, until: int) -> None:
    for _ in range(_AT_ONCE_MAX):
        due = world.store.due_timer(clock, until)
        if due is None:
            return
        object_id, word, at = due
        world.store.drop_timers(object_id, word)
        doc = world.store.get(object_id)
        if doc is None:
            continue
        try:
            if clock == MAIN_CLOCK:
                world.freeze(at)
            else:
                world.save(world.get("test_helpers.test_clock", clock), {"frozen_time": at})
            RULES[word](world, doc)
        finally:
            world.freeze(None)


@OPERATIONS.add("POST", "/test_helpers/test_clocks", "frozen_time!:int name")
def create(world: World, call: Call) -> Doc:
    """Customers made with it live on its time."""
    return world.new(
        "test_helpers.test_clock",
        {
            "deletes_after": world.now + 30 * 86400,
            "frozen_time": call.params["frozen_time"],
            "name": call.get("name"),
            "status": "ready",
            "status_details": {},
        },
    )


@OPERATIONS.add("POST", "/test_helpers/test_clocks/{id}/advance", "frozen_time!:int")
def advance_test_clock(world: World, call: Call) -> Doc:
    """Done when it answers; at Stripe it takes a while."""
    doc, until = world.get("test_helpers.test_clock", call.id), call.params["frozen_time"]
    if until <= doc["frozen_time"]:
        raise invalid("Test clocks can only be advanced to a later time.", param="frozen_time")
    world.happened("test_helpers.test_clock.advancing", {**doc, "status": "advancing"})
    _run(world, doc["id"], until)
    doc = world.save(world.get("test_helpers.test_clock", call.id), {"frozen_time": until})
    world.happened("test_helpers.test_clock.ready", doc)
    return doc


@OPERATIONS.add("DELETE", "/test_helpers/test_clocks/{id}")
def delete(world: World, call: Call) -> Doc:
    world.get("test_helpers.test_clock", call.id)
    world.store.remove(call.id)
    return {"id": call.id, "object": "test_helpers.test_clock", "deleted": True}
