"""The reference page: what it shows, that it is true, and that it can be read."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from activities.webhooks import PAUSES
from api import guides, samples
from api.docs_page import render
from api.errors import rows
from catalog.loader import load_catalog
from domain.generation import MediaType
from domain.planning import plan_generation
from domain.signature import sign_webhook
from domain.webhook_events import SUBSCRIBED_BY_DEFAULT
from settings import Settings
from tests.contract.conforming import Conformance

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTHS = (400, 900, 1500)


@pytest.fixture(scope="module")
def source(conformance: Conformance) -> str:
    return render(conformance.document)


@pytest.fixture(scope="module")
def page(source: str) -> str:
    return html.unescape(source)


async def test_it_is_served_without_scripts_and_loads_nothing_from_elsewhere(http: httpx.AsyncClient, source: str):
    response = await http.get("/docs")

    assert response.text == source
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", source)
    assert "<script" not in source
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_it_says_where_the_api_is_and_how_to_get_a_key(page: str, settings: Settings):
    assert f"Base URL: <code>{settings.public_url}</code>" in page
    assert "babysea keys create" in page


def test_every_operation_has_a_request_to_paste_and_its_answer(page: str, conformance: Conformance):
    for path, operations in conformance.document["paths"].items():
        for verb, operation in operations.items():
            _, _, section = page.partition(f'<section id="{operation["operationId"]}">')
            section, _, _ = section.partition("</section>")
            answer = operation["responses"]["200"]["content"]["application/json"]["example"]
            assert f"curl -s -X {verb.upper()} " in section, (verb, path)
            assert json.dumps(answer, indent=2) in section, (verb, path)


def test_the_pasted_requests_have_the_right_key_and_no_holes(page: str, settings: Settings):
    assert f"curl -s -X POST {settings.public_url}/v1/generate/video/{samples.VIDEO_MODEL} " in page
    assert f"curl -s -X GET {settings.public_url}/v1/content/{samples.IMAGE_ID} " in page
    assert f"curl -s -X GET '{settings.public_url}/v1/estimate/{samples.VIDEO_MODEL}?count=2&duration=5" in page
    assert (
        f'curl -s -X GET {settings.public_url}/admin/v1/plans \\\n  -H "Authorization: Bearer $BABYSEA_OPERATOR' in page
    )
    assert not re.search(r"curl -s[^\n<]*\{", page)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.code)
def test_every_error_is_a_row_that_can_be_linked_to(source: str, row: Any):
    flag = {True: "yes", False: "no", None: "it depends"}[row.retryable]

    assert (
        f'<tr id="{row.code}"><td>{row.code}</td><td><code>{row.type}</code></td>'
        f"<td>{row.status}</td><td>{flag}</td><td>" in source
    )


def test_every_link_within_the_page_leads_somewhere_and_nothing_is_named_twice(source: str):
    names = re.findall(r' id="([^"]+)"', source)

    assert len(set(names)) == len(names)
    assert set(re.findall(r'href="#([^"]+)"', source)) <= set(names)


def test_it_explains_webhooks(page: str):
    for event in SUBSCRIBED_BY_DEFAULT:
        assert event in page
    assert "X-BabySea-Signature: t=" in page
    assert guides.VERIFY_SNIPPET in page


def test_it_tells_the_schedule_that_is_kept():
    pauses = ["0", *(f"{pause.total_seconds():g}" for pause in PAUSES)]

    assert re.findall(r"[\d.]+", guides.RETRY_SCHEDULE) == pauses


@pytest.mark.parametrize(
    ("header", "genuine"),
    [
        pytest.param(lambda now: sign_webhook("whsec_s", b"{}", now), True, id="ours"),
        pytest.param(lambda now: sign_webhook("whsec_s", b"{}", now - 301), False, id="too old"),
        pytest.param(lambda now: sign_webhook("whsec_s", b"{}", now + 310), False, id="from the future"),
        pytest.param(lambda now: sign_webhook("s", b"{}", now), False, id="the secret without its prefix"),
        pytest.param(lambda now: sign_webhook("whsec_s", b"[]", now), False, id="another body"),
        pytest.param(lambda now: "t=,v1=", False, id="nothing"),
        pytest.param(lambda now: "no signature", False, id="nonsense"),
    ],
)
def test_the_verification_that_it_shows_works(header: Callable[[int], str], genuine: bool):
    shown: dict[str, Any] = {}
    exec(guides.VERIFY_SNIPPET, shown)

    assert shown["is_from_babysea"]("whsec_s", header(int(time.time())), b"{}") is genuine


@pytest.mark.parametrize(
    ("identifier", "media_type", "body"),
    [
        (samples.IMAGE_MODEL, MediaType.IMAGE, samples.IMAGE_BODY),
        (samples.VIDEO_MODEL, MediaType.VIDEO, samples.VIDEO_BODY),
    ],
)
def test_a_sample_request_is_one_that_the_library_takes(
    identifier: str, media_type: MediaType, body: dict[str, object]
):
    planned = plan_generation(
        load_catalog(),
        account_id=samples.ACCOUNT_ID,
        api_key_id=None,
        region="us",
        model_identifier=identifier,
        media_type=media_type,
        body=body,
        available_providers={"replicate", "fal"},
        generation_id=samples.IMAGE_ID,
        admit_by=datetime(2026, 11, 20, tzinfo=UTC).timestamp(),
        deadlines={media_type: 60},
    )

    assert body.items() <= planned.params.items()


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_a_browser_shows_it_at_every_width_without_sideways_scrolling(source: str, tmp_path: Path):
    """Measured by a page around it, in frames as wide as a telephone, a tablet and a desk."""
    (tmp_path / "docs.html").write_text(source)
    frames = "".join(f'<iframe src="docs.html" width="{width}" height="900"></iframe>' for width in WIDTHS)
    measure = """addEventListener("load", () => {
      document.title = JSON.stringify([...document.querySelectorAll("iframe")].map(frame => {
        const page = frame.contentDocument, nav = page.querySelector("nav").getBoundingClientRect();
        const main = page.querySelector("main").getBoundingClientRect();
        return {wide: page.documentElement.scrollWidth, beside: main.left >= nav.right,
                sections: page.querySelectorAll("section").length};
      }));
    });"""
    (tmp_path / "measure.html").write_text(f"<!doctype html><title></title>{frames}<script>{measure}</script>")
    assert CHROMIUM is not None

    done = subprocess.run(
        [
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
            *("--disable-background-networking", "--disable-component-update", "--allow-file-access-from-files"),
            f"--user-data-dir={tmp_path / 'profile'}",
            *("--window-size=3200,1000", "--virtual-time-budget=10000", "--dump-dom"),
            (tmp_path / "measure.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    found = re.search(r"<title>(.*?)</title>", done.stdout)
    assert found is not None, done.stderr
    measured = json.loads(html.unescape(found[1]))
    assert [frame["sections"] for frame in measured] == [source.count("<section ")] * len(WIDTHS)
    assert [frame["beside"] for frame in measured] == [False, False, True]
    assert all(frame["wide"] <= width for frame, width in zip(measured, WIDTHS, strict=True)), measured
