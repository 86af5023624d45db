"""The simulated Workers AI: what it takes, what it refuses and in which words."""

from __future__ import annotations

import base64
import io
import re

import httpx
import pytest
import pytest_asyncio
from PIL import Image

from sandbox.cloudflare import SIMULATED, credentials

SCHNELL, FLUX_2 = "@cf/black-forest-labs/flux-1-schnell", "@cf/black-forest-labs/flux-2-dev"
KLEIN, PHOENIX, LUCID = "@cf/black-forest-labs/flux-2-klein-4b", "@cf/leonardo/phoenix-1.0", "@cf/leonardo/lucid-origin"
SDXL = "@cf/stabilityai/stable-diffusion-xl-base-1.0"
UUID = r"\([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\)$"


@pytest_asyncio.fixture(scope="module")
async def ai(sandbox):
    """Speaks to one account's models, with its token."""
    base = f"{sandbox.url}/cloudflare/client/v4/accounts/{credentials.ACCOUNT_ID}/ai"
    async with httpx.AsyncClient(
        base_url=base, headers={"authorization": f"Bearer {credentials.TOKEN}"}, timeout=15
    ) as http:
        yield http


async def drawn(ai, prompt, /, model=SCHNELL, **given):
    return await ai.post(f"/run/{model}", json={"prompt": prompt} | given)


async def drawn_by_form(ai, prompt, /, model=FLUX_2, **given):
    parts = {name: value if isinstance(value, tuple) else (None, str(value)) for name, value in given.items()}
    return await ai.post(f"/run/{model}", files={"prompt": (None, prompt)} | parts)


def error(answer):
    body = answer.json()
    assert not body["success"]
    return answer.status_code, body["errors"][0]["code"]


def opened(content: bytes):
    return Image.open(io.BytesIO(content))


def png(side) -> tuple[str, bytes, str]:
    file = io.BytesIO()
    Image.new("RGB", (side, side)).save(file, "PNG")
    return "a.png", file.getvalue(), "image/png"


# --- pictures -----------------------------------------------------------------------------------------------------


async def test_some_models_answer_with_an_envelope(ai, prompt):
    answer = await drawn(ai, prompt())
    picture = opened(base64.b64decode(answer.json()["result"]["image"]))

    assert answer.json() | {"result": {}} == {"result": {}, "success": True, "errors": [], "messages": []}
    assert (picture.size, picture.format) == ((1024, 1024), "JPEG")


@pytest.mark.parametrize(("model", "kind"), [(PHOENIX, "JPEG"), (SDXL, "PNG")])
async def test_others_answer_with_the_bytes(ai, prompt, model, kind):
    answer = await drawn(ai, prompt(), model, width=512, height=256)
    picture = opened(answer.content)

    assert answer.headers["content-type"] == f"image/{kind.lower()}"
    assert (picture.size, picture.format) == ((512, 256), kind)


@pytest.mark.parametrize(("model", "kind"), [(SCHNELL, "image/jpeg"), (SDXL, "application/json")])
async def test_a_model_may_change_its_way(ai, prompt, model, kind):
    answer = await drawn(ai, prompt("cloudflare=other_shape"), model)

    assert answer.headers["content-type"] == kind


async def test_a_form_is_taken_by_the_models_that_want_one(ai, prompt):
    answer = await drawn_by_form(ai, prompt(), width=512, height=256, seed=7, guidance=3.5, input_image_0=png(512))

    assert opened(base64.b64decode(answer.json()["result"]["image"])).size == (512, 256)


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (SCHNELL, {"seed": 7}),
        (SCHNELL, {"width": 1024}),
        (SCHNELL, {"num_steps": 4}),
        (SCHNELL, {"steps": 9}),
        (SCHNELL, {"steps": "4"}),
        (SCHNELL, {"prompt": 7}),
        pytest.param(SCHNELL, {"prompt": "x" * 2049}, id="a long prompt"),
        (LUCID, {"guidance": 11}),
        (LUCID, {"seed": -1}),
        (LUCID, {"aspect_ratio": "1:1"}),
        (PHOENIX, {"height": 2049}),
        (SDXL, {"num_steps": 21}),
        (SDXL, {"width": 255}),
    ],
    ids=str,
)
async def test_what_the_schema_does_not_allow_is_refused(ai, prompt, model, given):
    answer = await drawn(ai, prompt(), model, **given)

    assert error(answer) == (400, 5006)
    assert re.search(UUID, answer.json()["errors"][0]["message"])


async def test_the_refusal_names_the_property(ai, prompt):
    unknown, missing = await drawn(ai, prompt(), seed=7), await ai.post(f"/run/{SCHNELL}", json={})

    assert "Additional or unevaluated properties '/seed' at '/' not allowed" in unknown.text
    assert "required properties at '/' are 'prompt'" in missing.text


@pytest.mark.parametrize(
    ("model", "given", "code"),
    [
        (FLUX_2, {"width": 255}, 5006),
        (FLUX_2, {"width": "wide"}, 5006),
        (FLUX_2, {"aspect_ratio": "1:1"}, 5006),
        (FLUX_2, {"input_image_4": "x"}, 5006),
        (KLEIN, {"steps": 8}, 5006),
        (FLUX_2, {"input_image_0": png(513)}, 3030),
        (FLUX_2, {"input_image_0": ("a.png", b"no picture", "image/png")}, 3030),
        (FLUX_2, {"input_image_0": "https://cdn.example.test/a.png"}, 3030),
    ],
    ids=["small", "no number", "unknown", "one too many", "other steps", "big file", "no picture", "an address"],
)
async def test_a_form_is_read_strictly(ai, prompt, model, given, code):
    answer = await drawn_by_form(ai, prompt(), model, **given)

    assert error(answer) == (400, code)


async def test_each_model_takes_its_own_kind_of_body(ai, prompt):
    assert error(await drawn(ai, prompt(), FLUX_2)) == (400, 5006)
    assert error(await drawn_by_form(ai, prompt(), SCHNELL)) == (400, 3003)


@pytest.mark.parametrize("model", ["@cf/black-forest-labs/flux-9", "flux", "@cf/black-forest-labs"])
async def test_an_unknown_model_is_refused(ai, prompt, model):
    assert error(await drawn(ai, prompt(), model)) == (400, 5007)


@pytest.mark.parametrize("path", [f"/run/{SCHNELL}", "/models/search"])
async def test_every_call_wants_the_token_and_the_account(ai, path):
    method = "POST" if "run" in path else "GET"
    elsewhere = str(ai.base_url).replace(credentials.ACCOUNT_ID, "f" * 32).rstrip("/")

    assert error(await ai.request(method, path, headers={"authorization": "Bearer other"})) == (401, 10000)
    assert error(await ai.request(method, elsewhere + path)) == (404, 7003)


async def test_models_can_be_searched(ai):
    answer = (await ai.get("/models/search", params={"per_page": 2})).json()

    assert [model["name"] for model in answer["result"]] == [SCHNELL, FLUX_2]


# --- faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("submit_401", 401, 10000),
        ("submit_402", 429, 4006),
        ("submit_404", 404, 3042),
        ("submit_422", 400, 5006),
        ("submit_429", 429, 971),
        ("submit_500", 500, 1000),
        ("submit_503", 429, 3040),
        ("not_entitled", 403, 5018),
        ("retired_model", 405, 5019),
        ("content_refused", 400, 8007),
        ("content_refused_nsfw", 400, 3030),
        ("refused_with_200", 200, 3030),
        ("job_failed", 500, 1000),
        ("job_failed_timeout", 408, 3007),
        ("job_failed_downstream", 400, 3030),
    ],
)
async def test_a_fault_answers_in_the_vendors_codes(ai, prompt, fault, status, code):
    assert error(await drawn(ai, prompt(f"cloudflare={fault}"))) == (status, code)


async def test_the_edge_answers_with_a_page(ai, prompt):
    answer = await drawn(ai, prompt("cloudflare=submit_502"))

    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (502, "text/html")


# --- what our catalogue compiles ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "given", "wrong"),
    [
        (SCHNELL, {"prompt": "x", "steps": 4}, []),
        (SCHNELL, {"prompt": "x", "seed": 7}, ["seed"]),
        (FLUX_2, {"prompt": "x", "width": 1024, "height": 768, "input_image_0": "https://cdn.example.test/a.png"}, []),
        (FLUX_2, {"prompt": "x", "input_image_0": 7}, ["input_image_0"]),
    ],
    ids=["fits", "too much", "with a file", "no address"],
)
def test_a_compiled_request_is_judged_without_being_sent(model, given, wrong):
    assert [violation.path[0] for violation in SIMULATED.violations(model, "", given)] == wrong
