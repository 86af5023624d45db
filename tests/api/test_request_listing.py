"""Section 14: the request log as operators read it."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import httpx
import pytest

from api.admin import samples
from api.admin import schemas as shapes
from tests.api.conftest import Customer, NewCustomer
from tests.api.reading import data_of, error_of


def path_of(account_id: str) -> str:
    return f"/admin/v1/accounts/{account_id}/requests"


@pytest.fixture
async def busy(http: httpx.AsyncClient, new_customer: NewCustomer) -> Customer:
    """Has asked seven times, one after the other."""
    customer = await new_customer()
    for number in range(7):
        await http.get(f"/v1/content/{number}?limit={number}", headers=customer.auth | {"User-Agent": "=cmd()"})
    return customer


async def asked(http: httpx.AsyncClient, operator: dict[str, str], customer: Customer, **query: Any) -> httpx.Response:
    return await http.get(path_of(customer.account_id), headers=operator, params=query)


async def test_the_rows_are_newest_first_with_every_field(
    http: httpx.AsyncClient, operator: dict[str, str], busy: Customer
):
    data = data_of(await asked(http, operator, busy), shapes.RequestList)

    assert [row["path"] for row in data["requests"]] == [f"/v1/content/{number}" for number in range(6, -1, -1)]
    assert data["next_before"] is None
    newest = data["requests"][0]
    assert set(newest) == set(samples.REQUESTS["data"]["requests"][0])
    assert (newest["api_key_id"], newest["key_prefix"]) == (busy.api_key_id, busy.key[:9])
    assert (newest["endpoint"], newest["query"]) == ("/v1/content/{generation_id}", "limit=6")
    assert (newest["status"], newest["code"], newest["replayed"]) == (404, "BSE3001", False)


async def test_neither_key_nor_address_is_told(http: httpx.AsyncClient, operator: dict[str, str], busy: Customer):
    response = await asked(http, operator, busy)

    assert busy.key not in response.text
    assert "127.0.0.1" not in response.text


async def test_pages_are_walked_with_the_cursor(http: httpx.AsyncClient, operator: dict[str, str], busy: Customer):
    paths: list[str] = []
    query: dict[str, Any] = {"limit": 3}
    while True:
        data = data_of(await asked(http, operator, busy, **query), shapes.RequestList)
        paths += [row["path"] for row in data["requests"]]
        if data["next_before"] is None:
            break
        query["before"] = data["next_before"]

    assert paths == [f"/v1/content/{number}" for number in range(6, -1, -1)]


async def test_the_file_has_the_rows_of_the_page(http: httpx.AsyncClient, operator: dict[str, str], busy: Customer):
    page = (await asked(http, operator, busy, limit=3)).json()["data"]

    response = await asked(http, operator, busy, limit=3, format="csv")

    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"] == 'attachment; filename="requests.csv"'
    assert response.headers["x-next-before"] == page["next_before"]
    names, *rows = csv.reader(io.StringIO(response.text, newline=""))
    assert names == list(page["requests"][0])
    for row, shown in zip(rows, page["requests"], strict=True):
        told = dict(zip(names, row, strict=True))
        assert told.pop("user_agent") == "'=cmd()", "a spreadsheet must not run it"
        spelled = {name: "" if value is None else value for name, value in shown.items() if name in told}
        assert told == {n: v if isinstance(v, str) else json.dumps(v) for n, v in spelled.items()}


async def test_no_part_of_the_file_is_run_where_cells_end_at_semicolons(
    http: httpx.AsyncClient, operator: dict[str, str], new_customer: NewCustomer
):
    """Many countries' spreadsheets split at semicolons, and then what follows one begins a cell."""
    customer = await new_customer()
    for agent in ("a;=cmd()", 'a; "=cmd()', "-1+1", "=1;@x"):
        await http.get("/v1/content/;=1+1", headers=customer.auth | {"User-Agent": agent})

    text = (await asked(http, operator, customer, format="csv")).text

    cells = [cell for line in text.splitlines() for cell in re.split("[;,]", line)]
    assert [cell for cell in cells if cell.strip(' "').startswith(("=", "+", "-", "@"))] == []
    assert "a;'=cmd()" in text


async def test_the_file_of_the_last_page_names_no_next(
    http: httpx.AsyncClient, operator: dict[str, str], busy: Customer
):
    response = await asked(http, operator, busy, format="csv")

    assert "x-next-before" not in response.headers


async def test_the_rows_of_a_deleted_key_are_gone_and_usage_still_counts_them(
    http: httpx.AsyncClient, operator: dict[str, str], busy: Customer, new_customer: NewCustomer
):
    other = await new_customer(account_id=busy.account_id)
    await asked(http, operator, busy)

    await http.delete(f"/admin/v1/accounts/{busy.account_id}/keys/{busy.api_key_id}", headers=operator)

    assert data_of(await asked(http, operator, busy), shapes.RequestList)["requests"] == []
    used = (await http.get("/v1/usage", headers=other.auth)).json()["data"]
    assert used["usage_total_requests"] == 7


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "x"}, "limit"),
        ({"format": "xml"}, "format"),
        ({"before": "yesterday"}, "before"),
        ({"before": "1-"}, "before"),
        ({"before": "9" * 30 + "-1"}, "before"),
    ],
)
async def test_a_bad_parameter_is_named(
    http: httpx.AsyncClient, operator: dict[str, str], customer: Customer, query: dict[str, str], field: str
):
    response = await asked(http, operator, customer, **query)

    assert error_of(response) == (400, "BSE2001")
    assert response.json()["error"]["details"] == {"field": field}


@pytest.mark.parametrize("limit", [0, -1, 501, 10**30])
async def test_the_limit_is_clamped(http: httpx.AsyncClient, operator: dict[str, str], customer: Customer, limit: int):
    assert (await asked(http, operator, customer, limit=limit)).status_code == 200


@pytest.mark.parametrize("account_id", ["nonsense", "5a1e0b7c-3c1d-4e52-9f0a-b6c2d4e8f013"])
async def test_an_account_that_does_not_exist(http: httpx.AsyncClient, operator: dict[str, str], account_id: str):
    response = await http.get(path_of(account_id), headers=operator)

    assert error_of(response) == (404, "BSE3006")


async def test_an_api_key_does_not_open_it(http: httpx.AsyncClient, customer: Customer):
    response = await http.get(path_of(customer.account_id), headers=customer.auth)

    assert error_of(response) == (401, "BSE1002")
