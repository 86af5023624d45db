"""`babysea credits adjust` and what follows: one operator proposes, another one approves or rejects."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

import typer

from cli.credits import signed_microcredits_from
from cli.deployment import DataOption, JsonOption
from cli.errors import CommandFailed
from cli.keys import AccountOption
from cli.operator_api import operator_api
from cli.output import credits, err, out, print_json, print_table
from cli.words import is_id
from domain.pricing import exact_credits, microcredits_from_number
from embedded.config import DATA_DEFAULT

AdjustmentArgument = Annotated[
    str, typer.Argument(metavar="ADJUSTMENT_ID", help="Its id, from `babysea credits adjustments`.", show_default=False)
]


def adjust(
    account: AccountOption,
    amount: Annotated[str, typer.Option(help="Credits to add, or with a minus to take away: 5 or -2.5.")],
    reason: Annotated[str, typer.Option(help="Why, for the books.")],
    key: Annotated[str | None, typer.Option(help="Names it: the same key again is the same proposal.")] = None,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Propose to add or to take credits. Nothing moves until another operator approves."""
    micros = signed_microcredits_from(amount)
    with operator_api(data) as api:
        made = api.post(
            f"/accounts/{api.account(account)['account_id']}/adjustments",
            amount=exact_credits(micros),
            reason=reason,
            key=key or f"command-line/{uuid.uuid4()}",
        )
    if as_json:
        print_json(made)
        return
    out.print(made["adjustment_id"])
    err.print(
        f"Another operator approves it with `babysea credits approve {made['adjustment_id']}`, until "
        f"{made['expires_at']}.",
        markup=False,
    )


def adjustments(
    account: Annotated[str | None, typer.Option(help="Only those of this account.")] = None,
    waiting: Annotated[bool, typer.Option("--waiting", help="Only those that can still be approved.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 20,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """List adjustments, newest first."""
    with operator_api(data) as api:
        account_id = api.account(account)["account_id"] if account else None
        found = api.items("/adjustments", "adjustments", limit=limit, account_id=account_id, waiting=waiting)
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "state", "amount", "proposed by", "decided by", "reason"),
        (
            (
                one["adjustment_id"],
                one["state"],
                credits(microcredits_from_number(one["amount"])),
                one["proposed_by"],
                one["decided_by"] or "-",
                one["reason"],
            )
            for one in found
        ),
    )


def approve(adjustment_id: AdjustmentArgument, data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """Approve what another operator proposed: this moves the credits."""
    _decide(adjustment_id, "approve", data, as_json=as_json)


def reject(adjustment_id: AdjustmentArgument, data: DataOption = DATA_DEFAULT, as_json: JsonOption = False) -> None:
    """Let a proposal be, one's own too."""
    _decide(adjustment_id, "reject", data, as_json=as_json)


def _decide(adjustment_id: str, verb: str, data: DataOption, *, as_json: bool) -> None:
    if not is_id(adjustment_id):
        raise CommandFailed(f"There is no adjustment {adjustment_id}.")
    with operator_api(data) as api:
        made: dict[str, Any] = api.post(f"/adjustments/{adjustment_id}/{verb}")
    if as_json:
        print_json(made)
        return
    out.print(f"{made['state']}: {credits(microcredits_from_number(made['amount']))} credits", markup=False)
