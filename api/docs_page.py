"""The reference as one readable page, made from the OpenAPI document: no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from api.docs_html import Schema, fields, kind, table, text
from api.docs_style import STYLE
from api.guides import Code, Guide, Rows, guides
from api.openapi import document, resolved

OPERATOR_PREFIX = "operator"

router = APIRouter(include_in_schema=False)

_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"}


@router.get("/docs")
async def docs(request: Request) -> Response:
    page: str | None = getattr(request.app.state, "docs_page", None)
    if page is None:
        page = request.app.state.docs_page = render(document(request.app))
    return HTMLResponse(page, headers=_HEADERS)


def render(api: Schema) -> str:
    """The whole page: the way in, the operations of customers, the other guides, the operations of operators."""
    start, *explained = guides(_base_url(api))
    groups = [Group(api, tag) for tag in api["tags"]]
    customers = [group for group in groups if not group.for_operators]
    operators = [group for group in groups if group.for_operators]
    parts: list[Guide | Group] = [start, *customers, *explained, *operators]
    shown = [part.html() if isinstance(part, Group) else _guide(part) for part in parts]
    title = f"{escape(api['info']['title'])} {escape(api['info']['version'])}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body>"
        f"{_contents(api, parts)}<main><h1>{escape(api['info']['title'])}</h1>"
        f"<p>{text(api['info'].get('description', ''))}</p>{''.join(shown)}</main></body></html>"
    )


class Group:
    """The operations of one tag."""

    def __init__(self, api: Schema, tag: dict[str, str]) -> None:
        self._api = api
        self.name, self._description = tag["name"], tag["description"]
        self.for_operators = self.name.startswith(OPERATOR_PREFIX)
        self.operations = [
            (verb, path, operation)
            for path, operations in api["paths"].items()
            for verb, operation in operations.items()
            if self.name in operation["tags"]
        ]

    def html(self) -> str:
        shown = "".join(_operation(self._api, *operation) for operation in self.operations)
        lead = f'<p class="lead">{text(self._description)}</p>'
        return f'<h2 id="{_anchor(self.name)}">{escape(self.name)}</h2>{lead}{shown}'

    def links(self) -> str:
        return "".join(
            f'<a href="#{operation["operationId"]}"><i>{verb}</i>{escape(operation["summary"].capitalize())}</a>'
            for verb, _, operation in self.operations
        )


def _contents(api: Schema, parts: list[Guide | Group]) -> str:
    """Operators' groups are folded: customers have no use for them."""
    shown = [f"<b>{escape(api['info']['title'])}</b>{escape(api['info']['version'])}"]
    for part in parts:
        title = part.name if isinstance(part, Group) else part.title
        link = f'<a href="#{_anchor(title)}">{escape(title)}</a>'
        match part:
            case Group(for_operators=True):
                shown.append(f"<details><summary>{escape(title)}</summary>{part.links()}</details>")
            case Group():
                shown.append(f"<strong>{link}</strong>{part.links()}")
            case _:
                shown.append(f"<strong>{link}</strong>")
    return f'<nav>{"".join(shown)}<strong><a href="/openapi.json">openapi.json</a></strong></nav>'


def _guide(guide: Guide) -> str:
    shown = [f'<h2 id="{_anchor(guide.title)}">{escape(guide.title)}</h2>']
    for part in guide.parts:
        match part:
            case Code(code):
                shown.append(f"<pre>{escape(code)}</pre>")
            case Rows(heads, rows, ids):
                shown.append(table(heads, [[text(cell) for cell in row] for row in rows], ids))
            case _:
                shown.append(f"<p>{text(part)}</p>")
    return "".join(shown)


def _operation(api: Schema, verb: str, path: str, operation: dict[str, Any]) -> str:
    body = _json(operation.get("requestBody", {})).get("schema")
    key = "" if operation.get("security") else "<p>No key needed.</p>"
    told = (
        f"<p>{text(operation.get('description', ''))}</p>{key}{_parameters(operation.get('parameters', []))}"
        f"{_headed('Body', fields(api, body, 'required')) if body else ''}"
        f"{_answer(api, operation)}{_errors(api, operation)}"
    )
    return (
        f'<section id="{operation["operationId"]}"><h3><span class="verb {verb}">{verb.upper()}</span>'
        f"{escape(path).replace('/', '/<wbr>')}</h3>"
        f'<div class="both"><div>{told}</div><div class="sample">{_sample(api, verb, path, operation)}</div></div>'
        "</section>"
    )


def _sample(api: Schema, verb: str, path: str, operation: dict[str, Any]) -> str:
    """A request to paste, and its answer."""
    answer = _json(operation["responses"]["200"]).get("example", {})
    data = answer.get("data", {})
    body = _json(operation.get("requestBody", {})).get("schema", {}).get("example")
    query = {
        given["name"]: given["example"]
        for given in operation.get("parameters", [])
        if given["in"] == "query" and "example" in given
    }
    address = _base_url(api) + path.format_map(_Placeholders(data)) + (f"?{urlencode(query)}" if query else "")
    lines = [f"curl -s -X {verb.upper()} {_quoted(address)}"]
    for scheme in operation.get("security", []):
        variable = "BABYSEA_OPERATOR_KEY" if "OperatorKey" in scheme else "BABYSEA_KEY"
        lines.append(f'-H "Authorization: Bearer ${variable}"')
    if body is not None:
        lines += ['-H "Content-Type: application/json"', f"-d '{json.dumps(body)}'"]
    request = " \\\n  ".join(lines)
    return _headed("Request", f"<pre>{escape(request)}</pre>") + _headed(
        "Answer", f"<pre>{escape(json.dumps(answer, indent=2))}</pre>"
    )


class _Placeholders(dict[str, str]):
    """What stands for a name of a path: the value in the sample, else the name as people write a placeholder."""

    def __missing__(self, name: str) -> str:
        return name.upper()


def _parameters(parameters: list[dict[str, Any]]) -> str:
    rows = [
        (
            f"<code>{escape(given['name'])}</code>" + ("<em>required</em>" if given.get("required") else ""),
            f"{given['in']}, {text(kind(given.get('schema', {})))}",
            text(given.get("description", "")),
        )
        for given in parameters
    ]
    return _headed("Parameters", table(("Name", "Where, type", ""), rows)) if rows else ""


def _answer(api: Schema, operation: dict[str, Any]) -> str:
    """What is inside the envelope; bodies without one are shown whole."""
    schema = _json(operation["responses"]["200"]).get("schema", {})
    whole = resolved(api, schema)
    data = whole.get("properties", {}).get("data", whole)
    (first, *_) = data.get("anyOf", [data])
    return _headed("Answer: data" if data is not whole else "Answer", fields(api, first, "optional"))


def _errors(api: Schema, operation: dict[str, Any]) -> str:
    """Each code leads to its row in the table of all errors."""
    codes: dict[str, list[str]] = {}
    for status, response in operation["responses"].items():
        found = re.findall(r"^`(BSE\d{4})`", resolved(api, response).get("description", ""), re.MULTILINE)
        if found:
            codes[status] = [f'<a href="#{code}">{code}</a>' for code in dict.fromkeys(found)]
    rows = [(status, ", ".join(links)) for status, links in codes.items()]
    return _headed("Errors", table(("Status", "Codes"), rows)) if rows else ""


def _json(holder: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = holder.get("content", {}).get("application/json", {})
    return found


def _headed(heading: str, shown: str) -> str:
    return f"<h4>{escape(heading)}</h4>{shown}" if shown else ""


def _quoted(address: str) -> str:
    return f"'{address}'" if "?" in address else address


def _anchor(title: str) -> str:
    return re.sub(r"\W+", "-", title)


def _base_url(api: Schema) -> str:
    return str(api["servers"][0]["url"]).rstrip("/")
