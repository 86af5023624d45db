"""The reference as one readable page, made from the OpenAPI document: no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from api.guides import Code, Guide, Rows, guides
from api.openapi import document

router = APIRouter(include_in_schema=False)

_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"}
_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.55 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:2rem 1rem}
h1{font-size:1.7rem}h2{font-size:1.2rem;margin-top:2.5rem;border-bottom:1px solid #8884;padding-bottom:.3rem}
section{margin:1.5rem 0;padding:.2rem 1rem 1rem;border:1px solid #8884;border-radius:.6rem}
h3{font:600 1rem ui-monospace,monospace;overflow-wrap:anywhere}
.verb{display:inline-block;min-width:4.2rem;padding:.1rem .5rem;margin-right:.6rem;border-radius:.3rem;
color:#fff;background:#2563ab;text-align:center}
.post{background:#2d7d46}.delete{background:#b3372f}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-top:1px solid #8883}
code,pre{font:.88rem ui-monospace,monospace}pre{background:#8881;padding:.8rem;border-radius:.4rem;overflow-x:auto}
summary{cursor:pointer;margin:.5rem 0}nav a{margin-right:1rem}
"""


@router.get("/docs")
async def docs(request: Request) -> Response:
    page: str | None = getattr(request.app.state, "docs_page", None)
    if page is None:
        page = request.app.state.docs_page = render(document(request.app))
    return HTMLResponse(page, headers=_HEADERS)


def render(api: dict[str, Any]) -> str:
    """The whole page."""
    groups: dict[str, list[str]] = {}
    for path, operations in api["paths"].items():
        for verb, operation in operations.items():
            groups.setdefault(operation.get("tags", ["other"])[0], []).append(_operation(api, path, verb, operation))
    explained = {guide.title: [_guide(guide)] for guide in guides(_base_url(api))}
    sections = {"start": explained.pop("start"), **groups, **explained}
    links = "".join(f'<a href="#{escape(title)}">{escape(title)}</a>' for title in sections)
    parts = [f'<h2 id="{escape(title)}">{escape(title)}</h2>{"".join(shown)}' for title, shown in sections.items()]
    info = api["info"]
    title = f"{escape(info['title'])} {escape(info['version'])}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f"<p>{_text(info.get('description', ''))}</p>"
        f'<nav>{links}<a href="/openapi.json">openapi.json</a></nav>{"".join(parts)}</body></html>'
    )


def _guide(guide: Guide) -> str:
    shown = []
    for part in guide.parts:
        match part:
            case Code(text):
                shown.append(f"<pre>{escape(text)}</pre>")
            case Rows(heads, rows):
                shown.append(_table(heads, rows))
            case _:
                shown.append(f"<p>{_text(part)}</p>")
    return "".join(shown)


def _base_url(api: dict[str, Any]) -> str:
    return str(api["servers"][0]["url"]).rstrip("/")


def _operation(api: dict[str, Any], path: str, verb: str, operation: dict[str, Any]) -> str:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    key = "" if operation.get("security") else "<p>No API key needed.</p>"
    return (
        f'<section><h3><span class="verb {verb}">{verb.upper()}</span>{escape(path)}</h3>'
        f"<p>{_text(operation.get('description', ''))}</p>{key}{_parameters(operation.get('parameters', []))}"
        f"{_fields(api, 'Body', body) if body else ''}{_example(_base_url(api), path, verb, operation)}"
        f"{_responses(api, operation['responses'])}</section>"
    )


def _example(base_url: str, path: str, verb: str, operation: dict[str, Any]) -> str:
    """A request to paste, and its answer; for the routes that have a sample."""
    sample = operation["responses"]["200"].get("content", {}).get("application/json", {}).get("example")
    if sample is None:
        return ""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    lines = [
        f"curl -s -X {verb.upper()} {base_url}{path.format_map(sample['data'])}",
        '-H "Authorization: Bearer $BABYSEA_KEY"',
    ]
    if "example" in body:
        lines += ['-H "Content-Type: application/json"', f"-d '{json.dumps(body['example'])}'"]
    request = " \\\n  ".join(lines)
    answer = json.dumps(sample, indent=2)
    return f"<h4>Example</h4><pre>{escape(request)}</pre><pre>{escape(answer)}</pre>"


def _parameters(parameters: list[dict[str, Any]]) -> str:
    rows = [
        (given["name"], f"{given['in']}, {_kind(given.get('schema', {}))}", given.get("description", ""))
        for given in parameters
    ]
    return _table(("Parameter", "Where, type", ""), rows) if rows else ""


def _responses(api: dict[str, Any], responses: dict[str, Any]) -> str:
    shown = []
    for status, response in responses.items():
        schema = response.get("content", {}).get("application/json", {}).get("schema")
        if status == "200" and schema:
            shown.append(_fields(api, "Answer (200)", _data_of(api, schema)))
    errors = [
        (status, code)
        for status, response in responses.items()
        if status != "200"
        for code in response.get("description", "").split("\n\n")
    ]
    if errors:
        shown.append(f"<details><summary>Errors</summary>{_table(('Status', 'Codes'), errors)}</details>")
    return "".join(shown)


def _data_of(api: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Inside the envelope; bodies without one are shown whole."""
    whole = _resolved(api, schema)
    data = whole.get("properties", {}).get("data")
    if data is None:
        return whole
    choices = data.get("anyOf", [data])
    return _resolved(api, choices[0])


def _fields(api: dict[str, Any], heading: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required", []))
    rows = [
        (
            name + (" *" if name in required else ""),
            _kind(_resolved(api, field)),
            field.get("description", _resolved(api, field).get("description", "")),
        )
        for name, field in schema.get("properties", {}).items()
    ]
    return f"<h4>{escape(heading)}</h4>{_table(('Field', 'Type', ''), rows)}"


def _kind(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_kind(choice) for choice in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return json.dumps(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _resolved(api: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    resolved: dict[str, Any] = api["components"]["schemas"][reference.rpartition("/")[2]]
    return resolved


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _text(markdown: str) -> str:
    """Paragraphs and code, which is all that the descriptions use."""
    pieces = escape(markdown).split("`")
    marked = "".join(f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces))
    return marked.replace("\n\n", "</p><p>")
