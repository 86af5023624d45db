"""The numbered items of the ledger's specification, each held against the tests that name it.

A test names an item in its name (`test_c13_...`, `test_inv_18_...`) or in its docstring (`C13`, `INV-18`).
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

ITEMS = (
    *(f"U{number}" for number in range(1, 8)),
    *(f"INV-{number}" for number in range(1, 31)),
    *(f"C{number}" for number in range(1, 19)),
    *(f"K{number}" for number in range(1, 17)),
    *(f"E{number}" for number in range(1, 23)),
    *(f"A{number}" for number in range(1, 10)),
    *(f"S{number}" for number in range(1, 17)),
)

# Items whose tests speak of them in other words.
ELSEWHERE = {
    "U2": "domain/test_pricing.py::test_an_amount_is_read_from_its_digits",
    "U4": "domain/test_pricing.py::test_anything_else_is_no_amount",
    "U5": "billing/test_matrix.py::test_the_one_division_rounds_half_to_even",
    "E8": "api/test_admission.py::test_a_generation_that_was_admitted_while_its_answer_was_lost_is_answered_normally",
    "S2": "billing/test_payments.py::test_c11_and_s13_one_event_twenty_times_at_once_is_one_grant",
    "S3": "billing/test_matrix.py::test_s10_every_order_of_events_ends_in_the_same_balances",
    "S4": "billing/test_matrix.py::test_a_paid_session_grants_under_its_payment_intent",
    "S7": "billing/test_matrix.py::test_s15_minor_units_are_those_of_the_currency",
}

# Items that nothing of this system does yet.
NOT_BUILT: dict[str, str] = {}


@cache
def tests() -> dict[str, str]:
    """Every test as `folder/file.py::name`, with its name and docstring."""
    return {
        f"{path.relative_to(TESTS)}::{node.name}": f"{node.name} {ast.get_docstring(node) or ''}"
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


tests.__test__ = False  # type: ignore[attr-defined]


def naming(item: str) -> list[str]:
    in_a_name = item.lower().replace("-", "_")
    pattern = re.compile(rf"(\btest_|_){in_a_name}_|\b{item}\b(?!-)")
    return [name for name, text in tests().items() if pattern.search(text)]


@pytest.mark.parametrize("item", ITEMS)
def test_each_item_has_a_test_that_names_it(item: str) -> None:
    if item in NOT_BUILT:
        assert not naming(item), f"{item} has a test now: take it off the list of what is not built"
        return

    assert naming(item) or ELSEWHERE.get(item) in tests(), f"{item} has no test"


@pytest.mark.parametrize("place", sorted(ELSEWHERE.values()))
def test_each_test_that_is_named_here_exists(place: str) -> None:
    assert place in tests()
