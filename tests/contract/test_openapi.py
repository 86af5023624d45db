"""The OpenAPI document: valid, complete, true of the code, and kept as docs/openapi.json."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.app import reference
from api.errors import rows
from api.openapi import resolved
from domain.keys import PRESETS
from tests.api.conftest import Customer
from tests.contract.conforming import DOCUMENT, Conformance
from tests.contract.routes import ROUTES

KEPT = Path(__file__).parents[2] / "docs" / "openapi.json"
WITHOUT_KEY = {"/livez", "/readyz", "/v1/callbacks/{provider}/{token}", "/v1/stripe/webhooks"}
# Ours, outside the compatibility promise.
BESIDE_THE_CONTRACT = {
    ("/v1/callbacks/{provider}/{token}", "post"),
    ("/v1/stripe/webhooks", "post"),
    ("/v1/billing/offers", "get"),
    ("/v1/billing/checkout", "post"),
    ("/v1/billing/subscription", "post"),
    ("/v1/billing/portal", "post"),
    ("/v1/billing/payment_method", "post"),
    ("/v1/billing/top_up", "get"),
    ("/v1/billing/top_up", "post"),
}


@pytest.fixture(scope="module")
def api(conformance: Conformance) -> dict[str, Any]:
    return conformance.document


def operations(api: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, verbs in api["paths"].items():
        for verb, operation in verbs.items():
            yield path, verb, operation


def responses(api: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, verb, operation in operations(api):
        for status, response in operation["responses"].items():
            yield f"{verb} {path}", status, resolved(api, response)


def test_the_kept_document_is_that_of_the_code():
    assert KEPT.read_text() == reference() + "\n", "Run: .venv/bin/python -m api.openapi > docs/openapi.json"


async def test_the_served_document_is_the_kept_one_at_its_own_address(http: httpx.AsyncClient, api: dict[str, Any]):
    served = (await http.get("/openapi.json")).json()

    assert served == api
    assert served["servers"] == [{"url": "http://testserver"}]


def test_it_is_valid_openapi_3_1(api: dict[str, Any]):
    assert api["openapi"].startswith("3.1.")
    assert not list(OpenAPIV31SpecValidator(api).iter_errors())


def test_it_has_every_route_of_the_contract(api: dict[str, Any]):
    published = {(path, verb) for path, verb, _ in operations(api) if path.startswith("/v1/")}

    ours = {(route.template, route.method.lower()) for route in ROUTES}
    assert published == ours | BESIDE_THE_CONTRACT


def test_every_operation_says_what_it_is(api: dict[str, Any]):
    ids = [operation["operationId"] for _, _, operation in operations(api)]

    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in ids)
    for path, verb, operation in operations(api):
        assert operation["summary"], (path, verb)
        assert len(operation["description"]) > 20, (path, verb)
        (tag,) = operation["tags"]
        assert tag in {described["name"] for described in api["tags"]}, f"describe {tag} in api/openapi.py"


def test_every_parameter_is_explained_and_typed(api: dict[str, Any]):
    bare = [
        f"{verb} {path}: {given['name']}"
        for path, verb, operation in operations(api)
        for given in operation.get("parameters", [])
        if not given.get("description") or not given.get("schema")
    ]

    assert not bare


def test_every_operation_with_a_body_shows_one_and_all_show_an_answer(api: dict[str, Any]):
    for path, verb, operation in operations(api):
        answer = operation["responses"]["200"]["content"]["application/json"]
        assert answer.get("example"), (path, verb)
        if "requestBody" in operation:
            assert operation["requestBody"]["content"]["application/json"]["schema"].get("example"), (path, verb)


def test_every_example_is_one_that_its_schema_allows(conformance: Conformance, api: dict[str, Any]):
    wrong = []
    for place, content in contents(api):
        examples = [content["example"]] if "example" in content else []
        examples += [shown["value"] for shown in content.get("examples", {}).values()]
        examples += [content["schema"]["example"]] if "example" in content["schema"] else []
        validator = conformance.validator(f"{place}/schema")
        wrong += [f"{place}: {error.message}" for example in examples for error in validator.iter_errors(example)]

    assert not wrong


def contents(node: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every JSON content, with its pointer."""
    if isinstance(node, dict):
        if set(node) >= {"application/json"}:
            yield f"{place}/application~1json", node["application/json"]
        for name, inner in node.items():
            if name not in {"example", "examples"}:
                yield from contents(inner, f"{place}/{name.replace('~', '~0').replace('/', '~1')}")


def test_every_refusal_is_the_error_envelope_with_an_example_for_each_code(api: dict[str, Any]):
    known = {row.code: row for row in rows()}
    for place, status, response in responses(api):
        if status == "200" or place == "get /readyz":
            continue
        content = response["content"]["application/json"]
        assert content["schema"] == {"$ref": "#/components/schemas/Failure"}, (place, status)
        codes = [shown["value"]["error"]["code"] for shown in content["examples"].values()]
        assert codes, (place, status)
        assert {known[code].status for code in codes} == {int(status)}
        for code in codes:
            assert code in response["description"]


def test_every_answer_names_its_request_and_every_repeatable_one_its_limits(api: dict[str, Any]):
    for place, status, response in responses(api):
        headers = set(response["headers"])
        assert "X-Request-Id" in headers, (place, status)
        repeatable = '"retryable": True' in str(response).replace("'", '"')
        if repeatable:
            assert {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After"} <= headers


def test_only_what_needs_no_key_says_so(api: dict[str, Any]):
    schemes = {"/v1/": [{"ApiKey": []}], "/admin": [{"OperatorKey": []}]}

    for path, verb, operation in operations(api):
        expected = None if path in WITHOUT_KEY else schemes[path[: len("/v1/") if path.startswith("/v1/") else 6]]
        assert operation.get("security") == expected, (path, verb)


def test_a_create_documents_its_key_its_replay_and_all_its_refusals(api: dict[str, Any]):
    for kind in ("image", "video"):
        create = api["paths"][f"/v1/generate/{kind}/{{model_identifier}}"]["post"]
        codes = set(re.findall(r"BSE\d{4}", str([resolved(api, found) for found in create["responses"].values()])))

        assert "Idempotency-Key" in {given["name"] for given in create["parameters"]}
        assert "Idempotency-Replayed" in create["responses"]["200"]["headers"]
        assert codes >= {f"BSE{number}" for number in range(2008, 2018)} | {"BSE1004", "BSE1005", "BSE1009"}


def test_every_reference_leads_somewhere(conformance: Conformance):
    text = str(conformance.document)

    for reference_ in set(re.findall(r"'(#/components/[^']+)'", text)):
        _, _, kind, name = reference_.split("/")
        assert name in conformance.document["components"][kind]
    assert DOCUMENT


def test_nothing_of_the_framework_shows(api: dict[str, Any]):
    assert "HTTPValidationError" not in str(api)
    assert "Successful Response" not in str(api)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_presets_are_documented(api: dict[str, Any], preset: str):
    assert preset in str(api["paths"]["/admin/v1/accounts/{account_id}/keys"]["post"]["requestBody"])


async def test_the_document_is_for_everyone(http: httpx.AsyncClient, customer: Customer):
    assert (await http.get("/openapi.json")).headers["Content-Type"] == "application/json"
