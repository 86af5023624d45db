"""R4: a provider's statement against the costs that attempts recorded."""

from __future__ import annotations

import itertools
from collections import Counter
from decimal import ROUND_HALF_EVEN, Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInput
from domain.provider_statements import Billed, Recorded, Row, Totals, Verdict, compare, read

JOBS = st.sampled_from([f"job-{number}" for number in range(8)])
AMOUNTS = st.decimals(min_value=-10, max_value=10, places=9)


def of(*lines: str, **options: object) -> dict[str, Billed]:
    text = "".join(f"{line}\n" for line in lines)
    return read(text.splitlines(keepends=True), **options)  # type: ignore[arg-type]


def an_attempt(job_id: str | None, cost: int, *, in_period: bool = True) -> Recorded:
    return Recorded(f"attempt of {job_id}", "generation", job_id, "bfl/flux", cost, in_period=in_period)


def by_job(rows: list[Row]) -> dict[str | None, tuple[Verdict, int, int]]:
    return {row.job_id: (row.verdict, row.billed, row.recorded) for row in rows}


def test_r4_each_job_is_alike_or_differs_or_is_missing_on_one_side() -> None:
    billed = of("job_id,amount", "a,0.05", "b,0.051", "bought-elsewhere,1.5", "late,0.2")
    recorded = [
        an_attempt("a", 50_000),
        an_attempt("b", 50_000),
        an_attempt("failed-and-paid", 3_000),
        an_attempt("failed-for-nothing", 0),
        an_attempt(None, 70_000),
        an_attempt("late", 200_000, in_period=False),
        an_attempt("of-another-month", 200_000, in_period=False),
    ]
    totals = Totals()

    rows = list(compare(billed, recorded))
    for row in rows:
        totals.add(row)

    assert by_job(rows) == {
        "a": (Verdict.ALIKE, 50_000, 50_000),
        "b": (Verdict.DIFFERS, 51_000, 50_000),
        "failed-and-paid": (Verdict.NOT_BILLED, 0, 3_000),
        "failed-for-nothing": (Verdict.ALIKE, 0, 0),
        None: (Verdict.NOT_BILLED, 0, 70_000),
        "late": (Verdict.ALIKE, 200_000, 200_000),
        "bought-elsewhere": (Verdict.UNKNOWN_HERE, 1_500_000, 0),
    }
    assert (totals.billed, totals.recorded, totals.difference) == (1_801_000, 373_000, 1_428_000)
    assert totals.jobs == Counter(alike=3, differs=1, not_billed=2, unknown_here=1)


@given(
    lines=st.lists(st.tuples(JOBS, AMOUNTS), max_size=12),
    costs=st.dictionaries(JOBS, st.integers(0, 5_000_000), max_size=8),
    tolerance=st.integers(0, 1_000_000),
    shuffled=st.randoms(use_true_random=False),
)
def test_r4_totals_add_up_each_job_is_in_one_class_and_no_order_matters(
    lines: list[tuple[str, Decimal]], costs: dict[str, int], tolerance: int, shuffled: Random
) -> None:
    """R4 and R6: the same lines in another order are the same report."""

    def report(in_order: list[tuple[str, Decimal]]) -> list[Row]:
        statement = of("job_id,amount", *(f"{job_id},{amount:f}" for job_id, amount in in_order))
        return list(compare(statement, [an_attempt(*cost) for cost in costs.items()], tolerance=tolerance))

    rows, totals = report(lines), Totals()
    for row in rows:
        totals.add(row)
    other = list(lines)
    shuffled.shuffle(other)
    exact = {job_id: sum(amount for job, amount in lines if job == job_id) for job_id, _ in lines}

    assert report(other) == rows
    assert Counter(row.job_id for row in rows) == Counter({*exact, *costs})
    assert totals.jobs.total() == len(rows)
    assert totals.recorded == sum(costs.values())
    for row in rows:
        sums = Decimal(exact.get(str(row.job_id), 0)) * 1_000_000
        assert row.billed == int(sums.quantize(Decimal(1), ROUND_HALF_EVEN))
        assert (row.verdict is Verdict.UNKNOWN_HERE) == (row.job_id not in costs)
        assert (row.verdict is Verdict.NOT_BILLED) == (row.job_id not in exact and row.recorded > 0)
        if row.verdict is Verdict.DIFFERS:
            assert abs(row.difference) > tolerance
        elif row.verdict is Verdict.ALIKE:
            assert abs(row.difference) <= tolerance
    assert totals.difference == sum(row.difference for row in rows)


@pytest.mark.parametrize(
    ("per_job", "in_total", "agree"), [(1, 2, True), (0, 2, False), (1, 1, False)], ids=["within", "a job", "the total"]
)
def test_a_tolerance_is_for_each_job_and_another_one_for_the_total(per_job: int, in_total: int, agree: bool) -> None:
    totals = Totals()
    for row in compare({"a": Billed(11), "b": Billed(11)}, [an_attempt("a", 10), an_attempt("b", 10)]):
        totals.add(row)

    assert totals.agree(per_job=per_job, in_total=in_total) is agree


def test_lines_of_one_job_are_added_exactly_and_rounded_once() -> None:
    tenths = of("job_id,amount", *("a,0.0000001" for _ in range(10)), "b,0.0000005", "c,0.0000015", "d,-0.0000025")

    assert {job_id: (one.microcredits, one.lines) for job_id, one in tenths.items()} == {
        "a": (1, 10),
        "b": (0, 1),
        "c": (2, 1),
        "d": (-2, 1),
    }


def test_columns_are_known_by_their_headers_or_named() -> None:
    known = of("\ufeffDate, Request_ID ,model,cost_usd", "2026-10-01,r-1,fal-ai/flux,0.025", ",r-1,,0.025", "")
    named = of("id,invoice id,credits", "9,r-1,5", columns={"id": "Invoice ID", "amount": "credits"}, unit="0.01")

    assert known == {"r-1": Billed(50_000, 2, "2026-10-01", "fal-ai/flux")}
    assert named == {"r-1": Billed(50_000)}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["job_id,amount", "a,1", "b,1.2.3"], "Line 3, column amount: 1.2.3 is no amount"),
        (["job_id,amount", '"two\nlines",1', "b,1e-05"], "Line 4, column amount: 1e-05 is no amount"),
        (["job_id,amount", 'a,"1,234.50"'], "Line 2, column amount"),
        (["job_id,amount", "Total,1", ",2"], "Line 3, column job_id: the id of the job is missing."),
        (["job_id,amount", "a,1,USD"], "Line 2 has 3 columns, and the header has 2."),
        (["job_id,amount", 'a,"1'], "Line 2 is no CSV"),
        (["job;amount", "a;1"], "The header has no column job_id or"),
        (["job_id,request_id,amount", "a,b,1"], "The columns job_id and request_id may both be the id"),
        ([], "The header has no column job_id or"),
    ],
    ids=itertools.count(),
)
def test_a_line_that_cannot_be_read_is_named(lines: list[str], said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        of(*lines)

    assert said in refused.value.message


@pytest.mark.parametrize("unit", ["0", "-1", "cents"])
def test_a_unit_is_above_zero(unit: str) -> None:
    with pytest.raises(InvalidInput, match="is no unit"):
        of("job_id,amount", unit=unit)
