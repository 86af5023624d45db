"""`babysea audit`: who changed what."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from cli.deployment import DataOption, JsonOption
from cli.operator_api import operator_api
from cli.output import print_json, print_table
from embedded.config import DATA_DEFAULT


def audit(
    account: Annotated[str | None, typer.Option(help="Only what concerned the account of this name.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only what the operator of this name did.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 20,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """List what operators changed, newest first. Nothing is ever removed from this log."""
    with operator_api(data) as api:
        account_id = api.account(account)["account_id"] if account else None
        found = api.items("/audit", "entries", limit=limit, account_id=account_id, actor=actor)
    if as_json:
        print_json(found)
        return
    print_table(
        ("when", "who", "what", "of", "details"),
        ((one["at"], one["actor"], one["action"], one["target_id"], json.dumps(one["details"])) for one in found),
    )
