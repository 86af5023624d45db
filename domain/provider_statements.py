"""What a provider says it charged, job by job, held against what our attempts recorded.

Amounts in a statement are dollars of any precision, read from their digits; each job's sum is rounded once, half to
even, to whole micro-credits. Nothing here depends on the order of the lines.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction

from domain.errors import InvalidInput
from domain.problems import clip

# What a column is for, and the names by which it is known without being told. The first of each are our own form.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("job_id", "request_id", "prediction_id", "task_id", "id"),
    "amount": ("amount", "amount_usd", "cost", "cost_usd"),
    "time": ("at", "time", "created_at", "date"),
    "model": ("model", "model_id", "endpoint"),
}
_REQUIRED = ("id", "amount")

_DECIMAL = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,15}))?", re.ASCII)
_DECIMALS = 15
_PER_MICROCREDIT = 10 ** (2 * _DECIMALS - 6)  # of an amount times a unit, both with so many decimals
_BOM = "\ufeff"  # spreadsheets begin a file with it


class Verdict(StrEnum):
    ALIKE = "alike"  # within the tolerance
    DIFFERS = "differs"
    UNKNOWN_HERE = "unknown_here"  # billed, and no attempt has the job: bought outside, or a submission that was lost
    NOT_BILLED = "not_billed"  # recorded with a cost, and not in the statement


@dataclass(frozen=True)
class Billed:
    """A job in the statement, with all of its lines."""

    microcredits: int  # below zero: the provider gave more back than it took
    lines: int = 1
    time: str | None = None  # as the statement has it, the earliest by its text
    model: str | None = None


@dataclass(frozen=True)
class Recorded:
    """An attempt of ours. One from just outside the period is looked for in the statement, and not missed in it."""

    attempt_id: str
    generation_id: str
    job_id: str | None
    model: str
    cost_microcredits: int
    in_period: bool = True


@dataclass(frozen=True)
class Row:
    verdict: Verdict
    job_id: str | None
    billed: int
    recorded: int
    attempt_id: str | None = None
    generation_id: str | None = None
    model: str | None = None
    time: str | None = None
    lines: int = 0

    @property
    def difference(self) -> int:
        """Above zero: we were billed more than we recorded."""
        return self.billed - self.recorded


@dataclass
class Totals:
    """Of the rows that were added; they are the sums of their columns."""

    jobs: Counter[Verdict] = field(default_factory=Counter)
    billed: int = 0
    recorded: int = 0
    largest_difference: int = 0  # of one job, without its sign

    def add(self, row: Row) -> None:
        self.jobs[row.verdict] += 1
        self.billed += row.billed
        self.recorded += row.recorded
        self.largest_difference = max(self.largest_difference, abs(row.difference))

    @property
    def difference(self) -> int:
        return self.billed - self.recorded

    def agree(self, *, per_job: int, in_total: int) -> bool:
        return self.largest_difference <= per_job and abs(self.difference) <= in_total


def compare(billed: Mapping[str, Billed], recorded: Iterable[Recorded], *, tolerance: int = 0) -> Iterator[Row]:
    """A row for each job: those with an attempt of ours in its order, then the unknown ones by their ids.

    Neither billed nor recorded with a cost is alike: most failed attempts cost nothing and are in no statement.
    """
    unmatched = dict(billed)
    for attempt in recorded:
        found = unmatched.pop(attempt.job_id, None) if attempt.job_id is not None else None
        if found is None and not attempt.in_period:
            continue
        amount = found.microcredits if found else 0
        if found is None and attempt.cost_microcredits > 0:
            verdict = Verdict.NOT_BILLED
        else:
            verdict = Verdict.ALIKE if abs(amount - attempt.cost_microcredits) <= tolerance else Verdict.DIFFERS
        yield Row(
            verdict,
            attempt.job_id,
            amount,
            attempt.cost_microcredits,
            attempt_id=attempt.attempt_id,
            generation_id=attempt.generation_id,
            model=attempt.model,
            time=found.time if found else None,
            lines=found.lines if found else 0,
        )
    for job_id, left in sorted(unmatched.items()):
        yield Row(
            Verdict.UNKNOWN_HERE, job_id, left.microcredits, 0, model=left.model, time=left.time, lines=left.lines
        )


def read(text: Iterable[str], *, columns: Mapping[str, str] | None = None, unit: str = "1") -> dict[str, Billed]:
    """A statement as CSV with a header, line by line; only one number for each job is kept.

    `columns` names the column for an `id`, `amount`, `time` or `model` whose header is not a known one; `unit` is what
    one of the amounts is in dollars. Raises InvalidInput, which names the line and the column.
    """
    factor = _fixed(unit)
    if factor is None or factor <= 0:
        raise InvalidInput(f"{clip(unit)} is no unit: give dollars above zero, such as 0.01.")
    sums: dict[str, int] = {}
    told: dict[str, Billed] = {}
    lines = _rows(text)
    header = next(lines, (1, []))[1]
    places = _places([name.strip() for name in header], columns or {})
    for number, row in lines:
        if len(row) != len(header):
            raise InvalidInput(f"Line {number} has {len(row)} columns, and the header has {len(header)}.")
        job_id = row[places["id"]].strip()
        if not job_id:
            raise InvalidInput(f"Line {number}, column {header[places['id']]}: the id of the job is missing.")
        written = row[places["amount"]].strip()
        amount = _fixed(written)
        if amount is None:
            column = header[places["amount"]]
            raise InvalidInput(
                f"Line {number}, column {column}: {clip(written)} is no amount; give a plain decimal, such as 0.0525."
            )
        sums[job_id] = sums.get(job_id, 0) + amount
        told[job_id] = _with(told.get(job_id), _cell(row, places, "time"), _cell(row, places, "model"))
    return {
        job_id: Billed(
            round(Fraction(total * factor, _PER_MICROCREDIT)), told[job_id].lines, told[job_id].time, told[job_id].model
        )
        for job_id, total in sums.items()
    }


def _rows(text: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Each row with the number of its first line, blank ones left out."""
    reader, begins = csv.reader(_without_mark(text), strict=True), 1
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise InvalidInput(f"Line {begins} is no CSV: {error}.") from error
        except UnicodeDecodeError as error:
            raise InvalidInput(f"The text after line {reader.line_num} is not UTF-8.") from error
        if row is None:
            return
        if any(cell.strip() for cell in row):
            yield begins, row
        begins = reader.line_num + 1


def _without_mark(text: Iterable[str]) -> Iterator[str]:
    first = True
    for line in text:
        yield line.removeprefix(_BOM) if first else line
        first = False


def _places(header: list[str], named: Mapping[str, str]) -> dict[str, int]:
    """Where each column is. Raises InvalidInput for one that is missing, and where two might be meant."""
    lowered = [name.lower() for name in header]
    places = {}
    for purpose, known in COLUMNS.items():
        wanted = (named[purpose].strip().lower(),) if purpose in named else known
        found = [place for place, name in enumerate(lowered) if name in wanted]
        if len(found) > 1:
            names = " and ".join(header[place] for place in found)
            raise InvalidInput(f"The columns {names} may both be the {purpose}: say which one it is.")
        if found:
            places[purpose] = found[0]
        elif purpose in _REQUIRED or purpose in named:
            raise InvalidInput(f"The header has no column {' or '.join(wanted)} for the {purpose}.")
    return places


def _cell(row: list[str], places: Mapping[str, int], purpose: str) -> str | None:
    return row[places[purpose]].strip() or None if purpose in places else None


def _with(before: Billed | None, time: str | None, model: str | None) -> Billed:
    """One more line of the job. The smaller text stays, so that the order of the lines does not matter."""
    if before is None:
        return Billed(0, 1, time, model)
    times, models = ([one for one in pair if one] for pair in ((before.time, time), (before.model, model)))
    return Billed(0, before.lines + 1, min(times, default=None), min(models, default=None))


def _fixed(text: str) -> int | None:
    """A plain decimal as a whole number of its last possible decimal; None for anything else."""
    match = _DECIMAL.fullmatch(text)
    if not match:
        return None
    sign, whole, decimals = match.groups()
    value = int(whole + (decimals or "").ljust(_DECIMALS, "0"))
    return -value if sign else value
