"""Sections 4 and 10.6: files that come with a request are fetched by us, checked, copied, and handed on as our own."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from adapters.guarded_http import GuardedFetcher
from adapters.local_store import LocalStore
from api import generations as route
from api import input_files
from api.app import create_app
from api.input_files import InputFiles, Slots
from api.schemas import Generation, GenerationAccepted
from domain.errors import ConcurrencyLimitExceeded, EngineUnavailable, StorageUnavailable
from domain.generation import Admission, GenerationRequest, attempt_id
from settings import Settings
from store import ledger
from store.connection import Pool, single
from store.input_files import NEVER_ADMITTED_AFTER
from tests.api.conftest import PROMPT, Customer, NewCustomer, reaching
from tests.api.reading import data_of, error_of
from tests.support.servers import Server, Wire, a_server, certificates, names, plain
from tests.support.staged_worker import StagedProvider

NANO = "/v1/generate/image/google/nano-banana"
VEO = "/v1/generate/video/google/veo-3.1-fast"
FIELD, LAST = "generation_input_file", "generation_input_file_last_content"
PUBLIC = "93.184.216.34"


def picture(kind: str = "PNG", width: int = 64, height: int = 64, colour: str = "teal") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, kind)
    return file.getvalue()


@dataclass
class Shop:
    """A customer's file server on loopback."""

    server: Server
    answers: dict[str, bytes] = field(default_factory=dict)

    def file(self, name: str, content: bytes) -> str:
        return self.answering(name, plain(content, Content_Type="image/jpeg"))  # whatever it is

    def answering(self, name: str, reply: bytes) -> str:
        self.answers[f"/{name}"] = reply
        return f"http://127.0.0.1:{self.server.port}/{name}"

    def asked(self, url: str) -> int:
        return sum(request.startswith(f"GET {urlsplit(url).path} ".encode()) for request in self.server.requests)


@pytest.fixture(scope="module")
async def shop() -> AsyncIterator[Shop]:
    answers: dict[str, bytes] = {}

    def respond(writer: asyncio.StreamWriter, target: str) -> None:
        reply = answers.get(target, plain(b"no such file", 404))
        writer.write(reply)
        if b"Content-Length" not in reply or b"Connection: close" in reply:
            writer.close()

    async with a_server(respond) as server:
        yield Shop(server, answers)


@pytest.fixture(scope="module")
def open_settings(settings: Settings, shop: Shop) -> Settings:
    """Of an API that may fetch from the shop, and has its artifacts served where providers can reach them."""
    return settings.model_copy(update={"private_hosts": f"127.0.0.1:{shop.server.port}"})


@pytest.fixture(scope="module")
async def http(open_settings: Settings, worker: None) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(open_settings)
    async with app.router.lifespan_context(app), reaching(app, "127.0.0.1") as client:
        yield client


async def edit(http: httpx.AsyncClient, customer: Customer, *files: Any, **body: Any) -> httpx.Response:
    headers = customer.auth | body.pop("headers", {})
    asked = {"generation_prompt": PROMPT, "generation_provider_order": "replicate", FIELD: list(files), **body}
    return await http.post(NANO, headers=headers, json=asked)


async def handed_on(replicate: StagedProvider, response: httpx.Response) -> dict[str, Any]:
    """The native input that the provider got."""
    first = attempt_id(data_of(response, GenerationAccepted)["generation_id"], 1)
    await replicate.submitted(first)
    return dict(replicate.native_inputs[first])


async def copies(pool: Pool, like: str = "%") -> set[str]:
    async with single(pool) as conn:
        cursor = await conn.execute("SELECT key FROM store.input_files WHERE key LIKE %s", [f"inputs/{like}/%"])
        return {row[0] for row in await cursor.fetchall()}


def stored(objects: LocalStore) -> set[str]:
    root = objects.path("inputs")
    return {str(path.relative_to(root.parent)) for path in root.rglob("*") if path.is_file()}


# --- what providers get, and what the customer keeps ---------------------------------------------------------------


async def test_a_provider_gets_our_address_of_the_very_bytes(
    http: httpx.AsyncClient, customer: Customer, shop: Shop, replicate: StagedProvider
):
    bodies = {kind: picture(kind, colour="orange") for kind in ("PNG", "JPEG", "WEBP")}
    urls = [shop.file(f"pictures/{kind}", body) for kind, body in bodies.items()]

    response = await edit(http, customer, *urls)

    generation_id = response.json()["data"]["generation_id"]
    addresses = (await handed_on(replicate, response))["image_input"]
    assert [urlsplit(address).path for address in addresses] == [
        f"/files/inputs/{generation_id}/{name}" for name in ("0.png", "1.jpg", "2.webp")
    ]
    fetched = [await http.get(address.removeprefix("http://testserver")) for address in addresses]
    assert [one.content for one in fetched] == list(bodies.values())
    assert [one.headers["content-type"] for one in fetched] == ["image/png", "image/jpeg", "image/webp"]
    expires = int(httpx.URL(addresses[0]).params["expires"])
    assert 3600 < expires - time.time() < 7 * 86_400  # longer than all attempts may take


async def test_the_record_shows_the_customers_own_addresses(
    http: httpx.AsyncClient, customer: Customer, shop: Shop, replicate: StagedProvider
):
    urls = [shop.file("a.png?token=a%2Fb", picture()), shop.file("b.png", picture())]

    created = await edit(http, customer, *urls)

    await handed_on(replicate, created)
    read = await http.get(f"/v1/content/{created.json()['data']['generation_id']}", headers=customer.auth)
    assert data_of(read, Generation)[FIELD] == urls


async def test_a_video_gets_its_first_and_its_last_frame(
    http: httpx.AsyncClient, customer: Customer, shop: Shop, replicate: StagedProvider
):
    first, last = shop.file("first.png", picture()), shop.file("last.png", picture(colour="red"))
    body = {"generation_prompt": PROMPT, "generation_duration": 4, "generation_provider_order": "replicate"}

    created = await http.post(VEO, headers=customer.auth, json={**body, FIELD: [first], LAST: last})

    native = await handed_on(replicate, created)
    got = [await http.get(native[name].removeprefix("http://testserver")) for name in ("image", "last_frame")]
    assert [one.content for one in got] == [picture(), picture(colour="red")]
    read = await http.get(f"/v1/content/{created.json()['data']['generation_id']}", headers=customer.auth)
    shown = data_of(read, Generation)
    assert (shown[FIELD], shown[LAST]) == ([first], last)


async def test_a_file_that_is_named_twice_is_fetched_once(
    http: httpx.AsyncClient, customer: Customer, shop: Shop, replicate: StagedProvider
):
    url = shop.file("loop.png", picture())

    response = await edit(http, customer, url, url)

    first, second = (await handed_on(replicate, response))["image_input"]
    assert first == second
    assert shop.asked(url) == 1


async def test_a_repeat_of_the_request_fetches_nothing(http: httpx.AsyncClient, customer: Customer, shop: Shop):
    url, key = shop.file("once.png", picture()), {"Idempotency-Key": "a-picture-once"}

    first = await edit(http, customer, url, headers=key)
    again = await edit(http, customer, url, headers=key)

    assert (again.content, again.headers["Idempotency-Replayed"]) == (first.content, "true")
    assert shop.asked(url) == 1


async def test_the_largest_request_is_taken(
    http: httpx.AsyncClient, customer: Customer, shop: Shop, replicate: StagedProvider
):
    body = picture()
    body = (
        body[:-12]
        + (20 * 2**20 - len(body) - 12).to_bytes(4)
        + b"teSt"
        + bytes(20 * 2**20 - len(body) - 8)
        + body[-12:]
    )
    assert len(body) == 20 * 2**20
    urls = [shop.file(f"large-{number}", body) for number in range(3)]

    native = await handed_on(replicate, await edit(http, customer, *urls))

    assert len(native["image_input"]) == 3


# --- what is refused -----------------------------------------------------------------------------------------------

TOO_MANY_BYTES = 20 * 2**20 + 1
GZIP = plain(picture(), Content_Encoding="gzip")

REFUSED: dict[str, tuple[bytes, str]] = {
    "63 pixels wide": (plain(picture("PNG", 63, 64)), "BSE2003"),
    "8193 pixels high": (plain(picture("PNG", 64, 8193)), "BSE2002"),
    "a GIF": (plain(picture("GIF")), "BSE2004"),
    "a page": (plain(b"<!doctype html>", Content_Type="image/png"), "BSE2004"),
    "cut off": (plain(picture()[:-10]), "BSE2005"),
    "nothing": (plain(b""), "BSE2005"),
    "too many bytes, declared": (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % TOO_MANY_BYTES, "BSE2007"),
    "too many bytes, undeclared": (b"HTTP/1.1 200 OK\r\n\r\n" + bytes(TOO_MANY_BYTES), "BSE2007"),
    "not there": (plain(b"", 404), "BSE2009"),
    "broken off": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nx", "BSE2009"),
    "compressed": (GZIP, "BSE2009"),
    "elsewhere, in private space": (plain(b"", 302, Location="https://169.254.169.254/latest/meta-data/"), "BSE2009"),
    "elsewhere, in a circle": (plain(b"", 302, Location="/refused/elsewhere,%20in%20a%20circle"), "BSE2009"),
    "elsewhere, without TLS": (plain(b"", 302, Location="http://files.example.com/"), "BSE2009"),
}


@pytest.mark.parametrize("why", REFUSED)
async def test_6_a_file_that_cannot_be_used_is_refused_by_field_and_index(
    http: httpx.AsyncClient, new_customer: NewCustomer, pool: Pool, shop: Shop, why: str
):
    customer = await new_customer()
    reply, code = REFUSED[why]
    bad = shop.answering(f"refused/{why}".replace(" ", "%20"), reply)

    response = await edit(http, customer, shop.file("good.png", picture()), bad)

    assert error_of(response) == (422, code)
    error = response.json()["error"]
    assert error["details"] == {"field": FIELD, "index": 1}
    assert error["retryable"] is False
    assert bad not in response.text
    async with single(pool) as conn:
        assert (await ledger.balance(conn, customer.account_id)).held == 0
    listed = await http.get("/v1/content/list", headers=customer.auth)
    assert listed.json()["total"] == 0


async def test_a_last_frame_that_cannot_be_used_is_named(http: httpx.AsyncClient, customer: Customer, shop: Shop):
    body = {"generation_prompt": PROMPT, "generation_duration": 4, FIELD: [shop.file("good.png", picture())]}

    response = await http.post(VEO, headers=customer.auth, json=body | {LAST: shop.file("a.gif", picture("GIF"))})

    assert error_of(response) == (422, "BSE2004")
    assert response.json()["error"]["details"] == {"field": LAST}


async def test_the_first_bad_file_of_the_body_is_named_however_quick_another_fails(
    http: httpx.AsyncClient, customer: Customer, shop: Shop
):
    slow = shop.file("slow.gif", picture("GIF") + bytes(10 * 2**20))

    response = await edit(http, customer, slow, shop.answering("gone", plain(b"", 404)))

    assert error_of(response) == (422, "BSE2004")


@pytest.mark.parametrize(
    ("files", "status", "code"),
    [
        pytest.param("https://files.example.com/a.png", 400, "BSE2001", id="no list"),
        pytest.param(["http://files.example.com/a.png"], 400, "BSE2001", id="without TLS"),
        pytest.param(["data:image/png;base64,aGVsbG8="], 400, "BSE2001", id="data"),
        pytest.param(["https://a:b@files.example.com/"], 400, "BSE2001", id="credentials"),
        pytest.param(["https://files.example.com:8443/"], 400, "BSE2001", id="another port"),
        pytest.param([None], 400, "BSE2001", id="null"),
        pytest.param([], 422, "BSE2008", id="none"),
        pytest.param(["https://files.example.com/a.png"] * 4, 422, "BSE2008", id="too many"),
    ],
)
async def test_6_a_malformed_list_is_refused_before_anything_is_fetched(
    http: httpx.AsyncClient, customer: Customer, files: Any, status: int, code: str
):
    response = await http.post(NANO, headers=customer.auth, json={"generation_prompt": PROMPT, FIELD: files})

    assert error_of(response) == (status, code)
    assert response.json()["error"]["details"]["field"] == FIELD
    assert response.json()["error"]["details"]["problems"][0]["path"].startswith(f"/{FIELD}")


async def test_a_model_without_files_refuses_the_field(http: httpx.AsyncClient, customer: Customer, shop: Shop):
    url = shop.file("unwanted.png", picture())

    response = await http.post(
        "/v1/generate/image/bfl/flux-schnell", headers=customer.auth, json={"generation_prompt": PROMPT, FIELD: [url]}
    )

    assert error_of(response) == (400, "BSE2001")
    assert shop.asked(url) == 0


async def test_4_nothing_is_fetched_for_a_request_that_is_wrong_elsewhere(
    http: httpx.AsyncClient, customer: Customer, shop: Shop
):
    url = shop.file("early.png", picture())

    response = await edit(http, customer, url, generation_ratio="7:3")

    assert error_of(response) == (422, "BSE2008")
    assert shop.asked(url) == 0


async def test_4_files_are_checked_before_credits(http: httpx.AsyncClient, new_customer: NewCustomer, shop: Shop):
    poor = await new_customer(credits=1)

    assert error_of(await edit(http, poor, shop.file("poor.gif", picture("GIF")))) == (422, "BSE2004")


async def test_a_refused_file_frees_the_idempotency_key(http: httpx.AsyncClient, customer: Customer, shop: Shop):
    url, key = shop.file("mended.png", b"not yet"), {"Idempotency-Key": "mended"}

    refused = await edit(http, customer, url, headers=key)
    shop.file("mended.png", picture())
    again = await edit(http, customer, url, headers=key)

    assert error_of(refused) == (422, "BSE2004")
    assert again.status_code == 200
    assert "Idempotency-Replayed" not in again.headers


# --- what is left behind -------------------------------------------------------------------------------------------


async def test_a_refused_admission_leaves_no_copy(
    http: httpx.AsyncClient, new_customer: NewCustomer, shop: Shop, pool: Pool, objects: LocalStore
):
    poor = await new_customer(credits=1)
    before = await copies(pool), stored(objects)

    response = await edit(http, poor, shop.file("dear.png", picture()))

    assert error_of(response) == (402, "BSE1004")
    assert (await copies(pool), stored(objects)) == before


async def test_every_copy_of_a_generation_under_way_is_on_the_list(
    http: httpx.AsyncClient, customer: Customer, shop: Shop, pool: Pool, objects: LocalStore
):
    response = await edit(http, customer, shop.file("kept.png", picture()))

    generation_id = response.json()["data"]["generation_id"]
    assert await copies(pool, generation_id) == {f"inputs/{generation_id}/0.png"} <= stored(objects)


class Unwilling(LocalStore):
    """A store that takes the bytes and then says that it could not."""

    async def put_once(self, key: str, file: Any, **described: Any) -> None:
        await super().put_once(key, file, **described)
        raise StorageUnavailable("The object store does not answer.")


def rebuilt(services: Any, **changes: Any) -> InputFiles:
    parts = {
        "fetcher": services.input_files._fetcher,
        "objects": services.objects,
        "pool": services.pool,
        "catalogue": services.catalogue,
    }
    return InputFiles(**parts | changes)


@asynccontextmanager
async def altered(settings: Settings, change: Callable[[Any], InputFiles]) -> AsyncIterator[httpx.AsyncClient]:
    """An API whose way with input files is another one."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        services = app.state.services
        app.state.services = replace(services, input_files=change(services))
        async with reaching(app, "127.0.0.1") as client:
            yield client


async def test_what_a_failing_store_may_have_kept_stays_on_the_list(
    open_settings: Settings, customer: Customer, shop: Shop, pool: Pool, objects: LocalStore
):
    before = await copies(pool)

    def change(services: Any) -> InputFiles:
        return rebuilt(services, objects=Unwilling(objects.path("x").parent, "http://testserver", b"key"))

    async with altered(open_settings, change) as http:
        response = await edit(http, customer, shop.file("stored.png", picture()))

    assert error_of(response) == (503, "BSE5002")
    assert response.json()["error"]["retryable"] is True
    (key,) = await copies(pool) - before
    assert key in stored(objects)


async def test_a_request_that_dies_while_it_copies_leaves_its_copies_on_the_list(
    open_settings: Settings, customer: Customer, shop: Shop, pool: Pool, objects: LocalStore
):
    before, writing = await copies(pool), asyncio.Event()

    class Endless(LocalStore):
        async def put_once(self, key: str, file: Any, **described: Any) -> None:
            writing.set()
            await asyncio.Event().wait()

    def change(services: Any) -> InputFiles:
        return rebuilt(services, objects=Endless(objects.path("x").parent, "http://testserver", b"key"))

    async with altered(open_settings, change) as http:
        request = asyncio.create_task(edit(http, customer, shop.file("dying.png", picture())))
        await writing.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request

    assert len(await copies(pool) - before) == 1


async def test_a_request_that_slept_beside_its_copies_is_not_admitted_with_copies_that_are_swept(
    http: httpx.AsyncClient, customer: Customer, shop: Shop, monkeypatch: pytest.MonkeyPatch
):
    """A process may stop at any point, for hours, and go on: the sweep has taken the copies for nobody's by then."""
    started: list[GenerationRequest] = []

    async def start(temporal: object, pool: object, request: GenerationRequest, *, wait_s: float) -> Admission:
        started.append(request)
        raise EngineUnavailable("nothing was started")

    monkeypatch.setattr(route, "start_once", start)
    two_hours_later = SimpleNamespace(time=lambda: time.time() + 7200, monotonic=time.monotonic)
    monkeypatch.setattr(input_files, "time", two_hours_later)
    planned_by = time.time()

    await edit(http, customer, shop.file("slept.png", picture()))

    (request,) = started
    assert request.admit_by < planned_by + NEVER_ADMITTED_AFTER.total_seconds() / 2


# --- where we can be sent ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return certificates(tmp_path_factory.mktemp("tls"), "files.example.com")


def through(wire: Wire, **options: Any) -> Callable[[Any], InputFiles]:
    return lambda services: rebuilt(services, fetcher=GuardedFetcher(network=wire, **options))


async def test_a_public_file_is_fetched_from_the_address_that_was_checked(
    settings: Settings, worker: None, customer: Customer, tls: Any
):
    resolver = names(files_example_com=[[PUBLIC], ["127.0.0.1"]])  # the second answer is a trap
    async with a_server(lambda writer, target: writer.write(plain(picture())), tls.server) as server:
        wire = Wire(server.port)
        async with altered(settings, through(wire, resolver=resolver, ssl_context=tls.client)) as http:
            response = await edit(http, customer, "https://files.example.com/a.png")

    assert response.status_code == 200, response.text
    assert wire.connected == [(PUBLIC, 443)]
    assert resolver.asked == ["files.example.com"]


UNREACHABLE = {
    "loopback": "https://127.0.0.1/",
    "the metadata service": "https://169.254.169.254/latest/meta-data/",
    "a private network": "https://10.0.0.1/",
    "IPv6 loopback": "https://[::1]/",
    "IPv4-mapped": "https://[::ffff:7f00:1]/",
    "a decimal": "https://2130706433/",
    "a single word": "https://localhost/",
    "a name that leads inside": "https://in.example.com/",
    "a name that leads inside as well": "https://both.example.com/",
    "a name that does not exist": "https://gone.example.com/",
    "a host that refuses": "https://closed.example.com/",
}


async def test_whatever_cannot_be_reached_has_one_answer(settings: Settings, customer: Customer):
    resolver = names(
        in_example_com=["192.168.0.1"], both_example_com=[PUBLIC, "10.0.0.1"], closed_example_com=["93.184.216.35"]
    )
    wire = Wire(1)
    wire.dead = {"93.184.216.35"}

    async with altered(settings, through(wire, resolver=resolver)) as http:
        answers = {why: await edit(http, customer, url) for why, url in UNREACHABLE.items()}

    assert {error_of(answer) for answer in answers.values()} == {(422, "BSE2009")}
    assert len({str(answer.json()["error"]) for answer in answers.values()}) == 1
    assert wire.connected == [("93.184.216.35", 443)]


async def test_a_file_that_comes_too_slowly_is_given_up(open_settings: Settings, customer: Customer):
    async def drip(writer: asyncio.StreamWriter, target: str) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b".")
            await asyncio.sleep(0.01)

    brief = timedelta(seconds=0.2)
    async with a_server(drip) as server:
        settings = open_settings.model_copy(update={"private_hosts": f"127.0.0.1:{server.port}"})
        async with altered(settings, lambda services: rebuilt(services, file_time_max=brief)) as http:
            response = await edit(http, customer, f"http://127.0.0.1:{server.port}/a.png")

    assert error_of(response) == (422, "BSE2009")


# --- how much at once ----------------------------------------------------------------------------------------------


async def test_an_account_waits_for_its_own_fetches_and_not_for_those_of_others():
    slots = Slots(account_max=2, all_max=3)

    async with slots.one("a", within_s=5), slots.one("a", within_s=5):
        with pytest.raises(ConcurrencyLimitExceeded) as caught:
            async with slots.one("a", within_s=0.01):
                raise AssertionError("the account has no slot left")
        async with slots.one("b", within_s=5):
            with pytest.raises(ConcurrencyLimitExceeded):
                async with slots.one("c", within_s=0.01):
                    raise AssertionError("nobody has a slot left")
    async with slots.one("a", within_s=5), slots.one("a", within_s=5):
        pass

    assert caught.value.retryable
    assert caught.value.retry_after


async def test_who_waits_goes_on_when_a_slot_is_freed():
    slots = Slots(account_max=1)
    waiting = asyncio.Event()

    async def second() -> None:
        waiting.set()
        async with slots.one("a", within_s=5):
            pass

    async with slots.one("a", within_s=5):
        task = asyncio.create_task(second())
        await waiting.wait()
    await task


async def test_a_request_that_finds_no_slot_may_be_repeated(open_settings: Settings, customer: Customer, shop: Shop):
    def change(services: Any) -> InputFiles:
        brief = timedelta(seconds=0.05)
        return rebuilt(services, slots=Slots(account_max=0), file_time_max=brief, time_max=brief)

    async with altered(open_settings, change) as http:
        response = await edit(http, customer, shop.file("late.png", picture()))

    assert error_of(response) == (429, "BSE1009")
    assert response.json()["error"]["retryable"] is True
    assert response.headers["Retry-After"] == "5"
    assert response.headers["X-RateLimit-Limit"]
