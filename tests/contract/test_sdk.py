"""The double of the published client: that it behaves as the contract says, and a whole life through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from domain.errors import ContentRefused
from domain.generation import CallbackReceived, attempt_id, workflow_id
from tests.api.conftest import PROMPT, Customer, NewCustomer
from tests.support.sdk import ApiError, BabySea, GenerationFailed
from tests.support.staged_worker import StagedProvider
from workflows.generation import GenerationWorkflow

Sdk = Callable[[str], BabySea]
MODEL, PARAMS = "bfl/flux-schnell", {"generation_prompt": PROMPT, "generation_provider_order": "replicate"}
LIMITED = {"X-RateLimit-Limit": "60"}


class Server:
    """Gives the answers it was told, one after the other, and keeps what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def client_of(server: Server) -> BabySea:
    async def no_pause(_: float) -> None: ...

    http = httpx.AsyncClient(transport=httpx.MockTransport(server))
    return BabySea("bye_key", base_url="https://api.example/", http=http, pause=no_pause)


def good(**data: Any) -> httpx.Response:
    return httpx.Response(200, json={"status": "success", "data": data})


def bad(status: int = 503, *, retryable: object = True, headers: dict[str, str] | None = None) -> httpx.Response:
    error = {"code": "BSE5003", "type": "database_unavailable", "message": "Not now.", "retryable": retryable}
    return httpx.Response(status, json={"status": "error", "error": error}, headers=headers)


async def test_2_4_it_sends_the_headers_of_the_published_client():
    server = Server(good(), good())

    await client_of(server).status()
    await client_of(server).generate(MODEL, PARAMS, idempotency_key="k")

    read, create = server.asked
    assert str(create.url) == "https://api.example/v1/generate/image/bfl/flux-schnell"
    assert read.headers["Authorization"] == "Bearer bye_key"
    assert "Content-Type" not in read.headers
    assert create.headers["Content-Type"] == "application/json"
    assert create.headers["Idempotency-Key"] == "k"
    assert create.headers["X-BabySea-SDK-Name"] == "babysea-node"


@pytest.mark.parametrize(
    ("answers", "requests"),
    [
        pytest.param([bad(), bad(), good()], 3, id="twice not, then well"),
        pytest.param([bad(), bad(), bad()], 3, id="three attempts in all"),
        pytest.param([bad(retryable=False)], 1, id="told not to"),
        pytest.param([bad(429, retryable="yes"), good()], 2, id="no flag: 429 is repeated"),
        pytest.param([bad(500, retryable=None), good()], 2, id="no flag: 500 is repeated"),
        pytest.param([bad(409, retryable=None)], 1, id="no flag: 409 is not"),
        pytest.param([httpx.Response(502, text="<html>"), good()], 2, id="a page of a proxy"),
        pytest.param([httpx.Response(404, text="<html>")], 1, id="a page of a proxy about the path"),
    ],
)
async def test_1_7_the_flag_alone_decides_about_a_post_too(answers: list[httpx.Response], requests: int):
    server = Server(*answers)
    try:
        await client_of(server).generate(MODEL, PARAMS)
    except ApiError:
        assert not server.answers

    assert len(server.asked) == requests


@pytest.mark.parametrize(
    ("headers", "believed"),
    [
        pytest.param(LIMITED | {"Retry-After": "7"}, True, id="seconds beside a limit"),
        pytest.param({"Retry-After": "7"}, False, id="no limit"),
        pytest.param({"X-RateLimit-Limit": "", "Retry-After": "7"}, False, id="an empty limit"),
        pytest.param(LIMITED | {"Retry-After": "0"}, False, id="zero"),
        pytest.param(LIMITED | {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, False, id="a date"),
    ],
)
async def test_1_6_a_delay_is_believed_only_beside_a_limit(headers: dict[str, str], believed: bool):
    client = client_of(Server(bad(headers=headers), good()))

    await client.status()

    (pause,) = client.pauses
    assert pause == 7 if believed else 0 <= pause < 1


@pytest.mark.parametrize(
    ("ask", "requests"),
    [
        pytest.param(lambda client: client.status(), 3, id="a read"),
        pytest.param(lambda client: client.delete("an-id"), 3, id="a delete"),
        pytest.param(lambda client: client.generate(MODEL, PARAMS), 1, id="a create"),
        pytest.param(lambda client: client.generate(MODEL, PARAMS, idempotency_key="k"), 3, id="a create with a key"),
        pytest.param(lambda client: client.cancel("an-id"), 1, id="a cancel"),
    ],
)
async def test_1_18_a_lost_connection_is_tried_again_where_that_is_safe(ask: Any, requests: int):
    server = Server(*(httpx.ConnectError("refused") for _ in range(3)))

    with pytest.raises(httpx.ConnectError):
        await ask(client_of(server))

    assert len(server.asked) == requests


async def test_1_8_a_timeout_is_never_tried_again():
    server = Server(httpx.ReadTimeout("thirty seconds"))

    with pytest.raises(httpx.ReadTimeout):
        await client_of(server).status()

    assert len(server.asked) == 1


async def test_1_4_a_success_without_a_body_is_an_error_of_the_client():
    with pytest.raises(ValueError, match="Expecting value"):
        await client_of(Server(httpx.Response(204))).delete("an-id")


async def test_1_18_the_wait_reads_at_once_and_pauses_half_a_second_at_least():
    pending, done = good(generation_status="pending"), good(generation_status="succeeded")
    client = client_of(Server(pending, done))

    await client.wait("an-id", interval_s=0.001)

    assert client.pauses == [0.5]


async def test_10_6_the_short_form_is_not_waited_for():
    short = good(generation_id="an-id", generation_status="canceled")
    server = Server(short, good(generation_id="an-id", generation_status="canceled"))

    answer = await client_of(server).generate_and_wait(MODEL, PARAMS)

    assert answer["data"]["generation_status"] == "canceled"
    assert len(server.asked) == 2


# --- a whole life -------------------------------------------------------------------------------------------------


async def test_a_whole_life_through_the_client(
    sdk: Sdk, new_customer: NewCustomer, engine: Client, replicate: StagedProvider
):
    client = sdk((await new_customer()).key)
    price = (await client.estimate(MODEL, count=1))["data"]["cost_per_generation"]

    created = await client.generate(MODEL, PARAMS, idempotency_key="life")
    again = await client.generate(MODEL, PARAMS, idempotency_key="life")
    generation_id = created["data"]["generation_id"]
    replicate.finish(await replicate.submitted(attempt_id(generation_id, 1)))
    handle = engine.get_workflow_handle_for(GenerationWorkflow.run, workflow_id(generation_id))
    await handle.signal(GenerationWorkflow.provider_callback, CallbackReceived(1, "rung by hand"))
    await handle.result()
    finished = await client.wait(generation_id)
    listed = await client.list(limit=1, offset=0)
    deleted = await client.delete(generation_id)
    usage, billing = await client.usage(7), await client.billing()

    assert again["data"] == created["data"]
    assert again["idempotency_replayed"] is True
    assert finished["data"]["generation_status"] == "succeeded"
    assert [item["generation_id"] for item in listed["data"]["generations"]] == [generation_id]
    assert deleted["data"]["files_deleted"] == 1
    assert billing["data"]["billing_credit_balance"] == usage["data"]["usage_credit_balance"] == round(1 - price, 3)
    with pytest.raises(ApiError) as gone:
        await client.get(generation_id)
    assert (gone.value.code, gone.value.retryable) == ("BSE3001", False)
    assert gone.value.request_id is not None


async def test_a_video_goes_to_its_own_route_and_can_be_canceled(sdk: Sdk, customer: Customer):
    client = sdk(customer.key)

    created = await client.generate("pixverse/v5", {"generation_prompt": "Waves", "generation_duration": 5})
    canceled = await client.cancel(created["data"]["generation_id"])

    assert canceled["data"]["credits_refunded"] is True
    with pytest.raises(GenerationFailed):
        await client.wait(created["data"]["generation_id"])


async def test_a_failure_reaches_the_application_with_message_and_code(
    sdk: Sdk, customer: Customer, engine: Client, replicate: StagedProvider
):
    client = sdk(customer.key)
    replicate.refuse("refused for the client", ContentRefused("A safety filter refused the prompt."))
    created = await client.generate(MODEL, PARAMS | {"generation_prompt": "refused for the client"})
    await engine.get_workflow_handle(workflow_id(created["data"]["generation_id"])).result()

    with pytest.raises(GenerationFailed, match="A safety filter refused the prompt") as ended:
        await client.wait(created["data"]["generation_id"])

    assert ended.value.code == "BSE2006"


async def test_every_other_call_of_the_client_is_answered(sdk: Sdk, customer: Customer):
    client = sdk(customer.key)

    answers = [
        await client.status(),
        await client.account(),
        await client.estimate("pixverse/v5", duration=5, resolution="720p", audio=False),
        await client.library("providers"),
        await client.library("models"),
        await client.health("inference/providers"),
        await client.health("inference/models"),
        await client.health("storage"),
        await client.health("cache"),
    ]

    assert {answer["status"] for answer in answers} == {"success"}
