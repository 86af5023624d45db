"""E21: periods are half-open instants of UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from domain.errors import InvalidInput
from domain.periods import Period, period_between, period_named


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        pytest.param("2026", (2026, 1, 1), (2027, 1, 1), id="a year"),
        pytest.param("2026-11", (2026, 11, 1), (2026, 12, 1), id="a month"),
        pytest.param("2026-12", (2026, 12, 1), (2027, 1, 1), id="the last month of a year"),
        pytest.param("2028-02", (2028, 2, 1), (2028, 3, 1), id="a leap month"),
        pytest.param("2026-12-31", (2026, 12, 31), (2027, 1, 1), id="the last day of a year"),
    ],
)
def test_e21_a_period_is_named_by_its_year_month_or_day(
    text: str, start: tuple[int, int, int], end: tuple[int, int, int]
) -> None:
    assert period_named(text) == Period(datetime(*start, tzinfo=UTC), datetime(*end, tzinfo=UTC))


def test_e21_the_months_of_a_year_meet() -> None:
    months = [period_named(f"2026-{month:02}") for month in range(1, 13)]

    assert [month.end for month in months[:-1]] == [month.start for month in months[1:]]
    assert Period(months[0].start, months[-1].end) == period_named("2026")


@pytest.mark.parametrize(
    "text", ["", "26", "2026-13", "2026-02-30", "2026-1", "9999", "0001", "2026-11-22T00:00:00Z", "٢٠٢٦"]
)
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no period"):
        period_named(text)


def test_e21_instants_are_taken_to_utc() -> None:
    period = period_between("2026-11-01T00:00:00+09:00", "2026-11-01T00:00:00Z")

    assert period.end - period.start == timedelta(hours=9)
    assert period.start == datetime(2026, 10, 31, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        pytest.param("2026-11-01", "2026-12-01T00:00:00Z", id="no offset"),
        pytest.param("2026-11-01T00:00:00Z", "soon", id="no time"),
        pytest.param("2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z", id="nothing in between"),
        pytest.param("0001-01-01T00:00:00+09:00", "2026-11-01T00:00:00Z", id="a year that there is not"),
    ],
)
def test_what_is_no_pair_of_instants_is_refused(start: str, end: str) -> None:
    with pytest.raises(InvalidInput):
        period_between(start, end)
