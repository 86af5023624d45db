"""Periods of accounts: half-open, from an instant to the next one of the same kind, in UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from domain.errors import InvalidInput
from domain.problems import clip

YEAR_MIN = 1970  # nothing was booked before, and the calendar's own first day has none before it

_NAMED = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?", re.ASCII)


@dataclass(frozen=True)
class Period:
    """All instants from `start` on, and before `end`. Periods that meet neither overlap nor leave a gap."""

    start: datetime
    end: datetime


def period_named(text: str) -> Period:
    """A year, a month or a day of UTC: `2026`, `2026-11` or `2026-11-22`. Raises InvalidInput."""
    match = _NAMED.fullmatch(text)
    try:
        if match and int(match[1]) >= YEAR_MIN:
            year, month, day = (int(part or 1) for part in match.groups())
            start = datetime(year, month, day, tzinfo=UTC)
            if match[3]:
                return Period(start, start + timedelta(days=1))
            if match[2]:
                return Period(start, month_after(start))
            return Period(start, datetime(year + 1, 1, 1, tzinfo=UTC))
    except (ValueError, OverflowError):
        pass
    raise InvalidInput(
        f"{clip(text)} is no period: give a year, a month or a day, like 2026, 2026-11 or 2026-11-22.",
        details={"field": "period"},
    )


def month_of(instant: datetime) -> datetime:
    """When its month of UTC began."""
    return datetime(instant.year, instant.month, 1, tzinfo=UTC)


def month_after(instant: datetime) -> datetime:
    """When the next month of UTC begins."""
    return datetime(instant.year + instant.month // 12, instant.month % 12 + 1, 1, tzinfo=UTC)


def name_of(period: Period) -> str:
    """As `period_named` reads it, if it is a month or a day; else its first instant and the first one after it."""
    if period.start == month_of(period.start) and period.end == month_after(period.start):
        return f"{period.start:%Y-%m}"
    if period.end - period.start == timedelta(days=1):
        return f"{period.start:%Y-%m-%d}"
    return f"{period.start:%Y-%m-%d}/{period.end:%Y-%m-%d}"


def period_between(start: str, end: str) -> Period:
    """Two instants in ISO 8601 with an offset. Raises InvalidInput, also for an end that is not after the start."""
    period = Period(_instant("from", start), _instant("to", end))
    if period.end <= period.start:
        raise InvalidInput("A period ends after it starts.", details={"field": "to"})
    return period


def _instant(field: str, text: str) -> datetime:
    try:
        read = datetime.fromisoformat(text)
        if read.tzinfo is not None and read.astimezone(UTC).year >= YEAR_MIN:
            return read.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidInput(
        f"{field} must be a time in ISO 8601 with an offset, such as 2026-11-01T00:00:00Z, in {YEAR_MIN} or later.",
        details={"field": field},
    )
