"""`babysea webhooks test`, `deliveries`, `replay`, `drain`: what an endpoint was sent, and sending by hand."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from cli.deployment import DataOption, JsonOption
from cli.errors import CommandFailed
from cli.keys import AccountOption
from cli.operator_api import OperatorApi, operator_api
from cli.output import out, print_json, print_table
from cli.webhooks import EndpointArgument, endpoint_path
from cli.words import is_id
from embedded.config import DATA_DEFAULT

ENDED_WITHIN_S = 40.0  # one attempt, its limit of ten seconds, and a worker that is being started again
PAUSE_S = 0.2


def send_test(
    account: AccountOption, endpoint_id: EndpointArgument, data: DataOption = DATA_DEFAULT, as_json: JsonOption = False
) -> None:
    """Send a `webhook.test`, once, and wait for the answer. It does not count as a failure."""
    with operator_api(data) as api:
        path = endpoint_path(api, account, endpoint_id)
        ended = _ended(api, path, api.post(f"{path}/test"))
    _print_ended(ended, as_json=as_json)


def deliveries(
    account: AccountOption,
    endpoint_id: EndpointArgument,
    state: Annotated[
        str | None,
        typer.Option(help="Only those that are `pending`, `queued`, `delivered`, `failed` or `expired`."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, newest first.")] = 20,
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """List what an endpoint was sent, and what is queued for it. With --json: payloads and attempts, too."""
    with operator_api(data) as api:
        path = f"{endpoint_path(api, account, endpoint_id)}/deliveries"
        found = api.items(path, "deliveries", limit=limit, state=state)
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "at", "event", "why", "state", "answer", "attempts"),
        (
            (
                one["delivery_id"],
                one["created_at"],
                one["event"],
                one["purpose"],
                one["state"],
                _answer(one),
                str(len(one["attempts"])),
            )
            for one in found
        ),
    )


def replay_delivery(
    account: AccountOption,
    endpoint_id: EndpointArgument,
    delivery_id: Annotated[
        str,
        typer.Argument(metavar="DELIVERY_ID", help="Its id, from `babysea webhooks deliveries`.", show_default=False),
    ],
    data: DataOption = DATA_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Send the same event once more, as a delivery of its own, and wait for the answer."""
    with operator_api(data) as api:
        path = endpoint_path(api, account, endpoint_id)
        if not is_id(delivery_id):
            raise CommandFailed(f"There is no webhook delivery {delivery_id!r}.")
        ended = _ended(api, path, api.post(f"{path}/deliveries/{delivery_id}/replay"))
    _print_ended(ended, as_json=as_json)


def drain(
    account: AccountOption, endpoint_id: EndpointArgument, data: DataOption = DATA_DEFAULT, as_json: JsonOption = False
) -> None:
    """Send what was queued while an endpoint was disabled, oldest first; the first that fails stops it."""
    with operator_api(data) as api:
        started = api.post(f"{endpoint_path(api, account, endpoint_id)}/drain")
    if as_json:
        print_json(started)
    elif started["queued"]:
        out.print(f"Sending {started['queued']}. `babysea webhooks show` tells how many are still queued.")
    else:
        out.print("Nothing is queued.")


def _ended(api: OperatorApi, path: str, delivery: dict[str, Any]) -> dict[str, Any]:
    """The delivery once it has ended. Raises CommandFailed when that takes too long."""
    deadline = time.monotonic() + ENDED_WITHIN_S
    while delivery["state"] == "pending":
        if time.monotonic() > deadline:
            raise CommandFailed(
                f"Delivery {delivery['delivery_id']} has not been sent after {ENDED_WITHIN_S:.0f} s. It will be, once "
                "a worker runs; look at it with `babysea webhooks deliveries`."
            )
        time.sleep(PAUSE_S)
        delivery = api.get(f"{path}/deliveries/{delivery['delivery_id']}")
    return delivery


def _print_ended(delivery: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(delivery)
    if delivery["state"] != "delivered":
        raise CommandFailed(f"Delivery {delivery['delivery_id']} failed: {_answer(delivery)}.")
    if not as_json:
        out.print(f"Delivered: {_answer(delivery)}.")


def _answer(delivery: dict[str, Any]) -> str:
    if delivery["status_code"] is not None:
        return f"HTTP {delivery['status_code']}"
    return delivery["error"] or "-"
