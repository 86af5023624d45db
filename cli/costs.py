"""`babysea costs`: what providers cost, and whether a provider's statement says the same."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.deployment import DataOption, JsonOption
from cli.errors import CommandFailed
from cli.operator_api import WHERE, OperatorApi, operator_api
from cli.output import credits, err, out, print_json, print_table
from domain.errors import InvalidInput
from domain.periods import Period, period_named
from domain.pricing import microcredits_from_text, text_from_microcredits
from domain.provider_statements import COLUMNS, Billed, Recorded, Row, Totals, Verdict, compare, read
from embedded.config import DATA_DEFAULT

costs_commands = typer.Typer(no_args_is_help=True, help=f"What providers cost us; 1 credit is 1 USD.\n\n{WHERE}")

AROUND = timedelta(days=1)  # a provider's clock, and the moment that it counts, may put a job into the next period
FIELDS = (
    *("verdict", "job_id", "billed", "recorded", "difference"),
    *("attempt_id", "generation_id", "model", "time", "lines"),
)

PeriodOption = Annotated[str, typer.Option(help="A year, month or day of UTC, like 2026, 2026-11 or 2026-11-22.")]


@costs_commands.command()
def show(period: PeriodOption, data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """What each model brought in and cost at each provider, failed attempts included."""
    with operator_api(data) as api:
        found = api.get("/costs", period=period)
    if as_json:
        print_json(found)
        return
    amounts = ("revenue", "cost", "margin")
    rows = [(one["provider"], one["model"], *(one[name] for name in amounts)) for one in found["models"]]
    print_table(("provider", "model", *amounts), [*rows, ("all", "", *(found[name] for name in amounts))])


@costs_commands.command("compare")
def compare_statement(
    provider: Annotated[str, typer.Option(help="Whose statement it is, like fal.")],
    period: PeriodOption,
    statement: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, readable=True, help="CSV with a header, one job a line.")
    ],
    column: Annotated[
        list[str] | None,
        typer.Option(help="Names a column: id=..., amount=..., time=... or model=...; known headers need none."),
    ] = None,
    unit: Annotated[str, typer.Option(help="Dollars that one of its amounts is worth; 0.01 for cents.")] = "1",
    tolerance: Annotated[int, typer.Option(min=0, help="Micro-credits by which a job may differ.")] = 0,
    total_tolerance: Annotated[
        int | None, typer.Option(min=0, help="By which all together may; without it as for one job.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Every job, those alike too, for a spreadsheet.")] = False,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Hold a provider's statement against what our attempts recorded. Exit code 1 when they differ.

    The statement is read whole before anything is asked or printed; it stays on this machine.
    """
    asked, billed = period_named(period), _billed(statement, _columns(column or []), unit)
    totals, rest = Totals(), list[Row]()
    with operator_api(data) as api:
        rows = compare(billed, _recorded(api, provider, asked), tolerance=tolerance)
        if as_csv:
            rows = _written(rows)
        for row in rows:
            totals.add(row)
            if not as_csv and row.verdict is not Verdict.ALIKE:
                rest.append(row)
    in_total = tolerance if total_tolerance is None else total_tolerance
    agree = totals.agree(per_job=tolerance, in_total=in_total)
    if as_json:
        print_json(_document(provider, asked, totals, rest, agree=agree))
    elif not as_csv:
        _print(rest)
    (err if as_csv or as_json else out).print(_summary(provider, period, totals, agree=agree), markup=False)
    if not agree:
        raise typer.Exit(1)


def _columns(named: list[str]) -> dict[str, str]:
    found = {}
    for one in named:
        purpose, equals, name = one.partition("=")
        if not equals or purpose not in COLUMNS:
            raise CommandFailed(f"{one!r} names no column: give {', '.join(f'{known}=...' for known in COLUMNS)}.")
        found[purpose] = name
    return found


def _billed(statement: Path, columns: Mapping[str, str], unit: str) -> dict[str, Billed]:
    try:
        with statement.open(encoding="utf-8", newline="") as lines:
            return read(lines, columns=columns, unit=unit)
    except InvalidInput as problem:
        raise CommandFailed(f"{statement}: {problem.message}") from problem


def _recorded(api: OperatorApi, provider: str, period: Period) -> Iterator[Recorded]:
    """Page by page, with what began just outside the period."""
    asked = {"from": (period.start - AROUND).isoformat(), "to": (period.end + AROUND).isoformat()}
    after = None
    while True:
        page = api.get("/costs/attempts", provider=provider, after=after, **asked)
        for one in page["attempts"]:
            yield Recorded(
                attempt_id=one["attempt_id"],
                generation_id=one["generation_id"],
                job_id=one["job_id"],
                model=one["model"],
                cost_microcredits=microcredits_from_text(one["cost"]),
                in_period=period.start <= datetime.fromisoformat(one["begun_at"]) < period.end,
            )
        after = page["next_after"]
        if after is None:
            return


def _written(rows: Iterator[Row]) -> Iterator[Row]:
    """The same rows; each is in the file then."""
    from api.admin.requests import cell

    table = csv.writer(sys.stdout)
    table.writerow(FIELDS)
    for row in rows:
        shown = _shown(row)
        table.writerow((shown | {name: cell(shown[name]) for name in ("job_id", "model", "time")}).values())
        yield row


def _shown(row: Row) -> dict[str, Any]:
    """In the order of the fields; amounts are exact decimals."""
    whole = asdict(row) | {"difference": row.difference}
    amounts = ("billed", "recorded", "difference")
    return {name: text_from_microcredits(whole[name]) if name in amounts else whole[name] for name in FIELDS}


def _document(provider: str, period: Period, totals: Totals, rest: list[Row], *, agree: bool) -> dict[str, Any]:
    """What `--json` prints; its rows are those that are not alike."""
    return {
        "provider": provider,
        "period_start": period.start,
        "period_end": period.end,
        "agree": agree,
        "jobs": {verdict.value: totals.jobs[verdict] for verdict in Verdict},
        "billed": text_from_microcredits(totals.billed),
        "recorded": text_from_microcredits(totals.recorded),
        "difference": text_from_microcredits(totals.difference),
        "rows": [_shown(row) for row in _in_order(rest)],
    }


def _print(rest: list[Row]) -> None:
    if rest:
        print_table(
            ("verdict", "job", "billed", "recorded", "difference", "generation", "model"),
            (
                (
                    row.verdict.value,
                    row.job_id or "-",
                    credits(row.billed),
                    credits(row.recorded),
                    credits(row.difference),
                    row.generation_id or "-",
                    row.model or "-",
                )
                for row in _in_order(rest)
            ),
        )


def _in_order(rows: list[Row]) -> list[Row]:
    """By verdict as they are listed there, and then as they came."""
    order = list(Verdict)
    return sorted(rows, key=lambda row: order.index(row.verdict))


def _summary(provider: str, period: str, totals: Totals, *, agree: bool) -> str:
    counted = ", ".join(f"{totals.jobs[verdict]:,} {verdict.value.replace('_', ' ')}" for verdict in Verdict)
    return (
        f"{provider}, {period}: {'agree' if agree else 'DIFFER'}. Jobs: {counted}. Billed {credits(totals.billed)}, "
        f"recorded {credits(totals.recorded)}, difference {credits(totals.difference)}."
    )
