"""Against moto for what every S3 does; against SeaweedFS for what must be refused, which moto does not."""

import hashlib
import io
from datetime import timedelta

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from adapters import s3_store
from adapters.s3_store import S3Store
from domain.errors import StorageUnavailable
from tests.support import seaweed

BUCKET, KEY = "artifacts", "us/account/generation/attempt/0.png"
BODY = b"\x89PNG and so on"


@pytest.fixture(scope="module", params=["moto", "seaweed"])
def endpoint(request, tmp_path_factory):
    if request.param == "moto":
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()
    else:
        yield request.getfixturevalue("weed")


@pytest.fixture(scope="module")
def weed(tmp_path_factory):
    with seaweed.seaweed(tmp_path_factory.mktemp("weed")) as address:
        yield address


def store_at(address: str, bucket: str = BUCKET, **keys: str) -> S3Store:
    named = {"access_key": seaweed.ACCESS_KEY, "secret_key": seaweed.SECRET_KEY} | keys
    return S3Store(bucket, address, region="us-east-1", **named)


@pytest.fixture(scope="module")
def bucket(endpoint):
    make_bucket(endpoint)
    return endpoint


@pytest.fixture(scope="module")
def weed_bucket(weed):
    make_bucket(weed)
    return weed


def make_bucket(address: str) -> None:
    client = raw_client(address)
    if BUCKET not in [found["Name"] for found in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=BUCKET)


def raw_client(address: str):
    return boto3.client(
        "s3",
        endpoint_url=address,
        aws_access_key_id=seaweed.ACCESS_KEY,
        aws_secret_access_key=seaweed.SECRET_KEY,
        region_name="us-east-1",
    )


@pytest.fixture(scope="module")
def store(bucket):
    store = store_at(bucket)
    yield store
    store.close()


async def put(store: S3Store, body: bytes = BODY, key: str = KEY, **claims) -> None:
    claims = {"size_bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()} | claims
    file = io.BytesIO(body)
    file.seek(3)  # wherever a reader left it
    await store.put_once(key, file, content_type="image/png", **claims)


async def served(store: S3Store, key: str = KEY) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.get(await store.url(key, expires_in=timedelta(minutes=1)))


async def test_a_stored_file_is_served_at_its_signed_address(store):
    await put(store)

    answer = await served(store)

    assert (answer.status_code, answer.content) == (200, BODY)
    assert answer.headers["content-type"] == "image/png"


async def test_the_same_file_again_is_a_no_op(store):
    await put(store, key="again")
    await put(store, key="again")

    assert (await served(store, "again")).content == BODY


async def test_another_file_under_the_same_key_is_refused_and_changes_nothing(store):
    await put(store, key="taken")

    with pytest.raises(StorageUnavailable, match="Another object"):
        await put(store, b"another", key="taken")

    assert (await served(store, "taken")).content == BODY


async def test_a_deleted_file_is_gone_and_can_be_stored_again(store):
    await put(store, key="gone")

    assert await store.delete("gone")
    assert not await store.delete("gone")
    assert (await served(store, "gone")).status_code == 404
    await put(store, key="gone")


async def test_a_folder_is_deleted_whole_and_nothing_beside_it(store):
    inside = [f"us/account/one/{name}" for name in ("first/0.png", "first/1.png", "second/0.png")]
    beside = ["us/account/one-more/first/0.png", "us/account/two/first/0.png"]
    for key in inside + beside:
        await put(store, key=key)

    assert await store.delete_folder("us/account/one") == 3
    assert await store.delete_folder("us/account/one") == 0
    assert [(await served(store, key)).status_code for key in inside] == [404] * 3
    assert [(await served(store, key)).status_code for key in beside] == [200] * 2


async def test_a_folder_of_a_missing_bucket_is_not_taken_for_an_empty_one(bucket):
    missing = store_at(bucket, "no-such-bucket")

    with pytest.raises(StorageUnavailable):
        await missing.delete_folder("us/account/one")
    missing.close()


def test_it_is_named_as_its_bucket(store):
    assert store.name == BUCKET


async def test_a_large_file_goes_in_parts_once(store, monkeypatch):
    monkeypatch.setattr(s3_store, "PART_BYTES", 5 * 2**20)
    body = bytes(range(256)) * 50_000  # 12.8 MB: three parts
    await put(store, body, key="large")
    await put(store, body, key="large")

    with pytest.raises(StorageUnavailable, match="Another object"):
        await put(store, body[:-1], key="large")

    answer = await served(store, "large")
    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(body).digest()
    assert answer.headers["content-type"] == "image/png"


async def test_a_large_file_that_is_not_what_was_announced_is_not_stored(store, bucket, monkeypatch):
    monkeypatch.setattr(s3_store, "PART_BYTES", 5 * 2**20)

    with pytest.raises(StorageUnavailable, match="changed"):
        await put(store, bytes(6 * 2**20), key="changed", sha256="0" * 64)

    assert (await served(store, "changed")).status_code == 404
    assert not raw_client(bucket).list_multipart_uploads(Bucket=BUCKET).get("Uploads")


async def test_of_two_large_writers_at_once_the_second_finds_the_same_file(store, monkeypatch):
    monkeypatch.setattr(s3_store, "PART_BYTES", 5 * 2**20)
    body = bytes(6 * 2**20)
    monkeypatch.setattr(S3Store, "_stored", answered_late(S3Store._stored))
    await put(store, body, key="raced")
    await put(store, body, key="raced")

    assert len((await served(store, "raced")).content) == len(body)


def answered_late(stored):
    """The look before an upload sees nothing yet, as when two begin at once."""
    looks: dict[str, int] = {}

    def look(self, key):
        looks[key] = looks.get(key, 0) + 1
        return None if looks[key] <= 2 else stored(self, key)

    return look


async def test_a_check_tells_a_bucket_that_is_there_from_one_that_is_not(store, bucket):
    await store.check()

    with pytest.raises(StorageUnavailable):
        await store_at(bucket, "no-such-bucket").check()


async def test_a_store_that_does_not_answer_is_unavailable(monkeypatch):
    store = store_at("http://127.0.0.1:9")

    for attempt in (put(store), store.check(), store.delete(KEY)):
        with pytest.raises(StorageUnavailable, match="does not answer"):
            await attempt


# --- what must be refused: SeaweedFS only -------------------------------------------------------------------------


async def test_a_file_whose_checksum_is_wrong_is_refused(weed_bucket):
    store = store_at(weed_bucket)

    with pytest.raises(StorageUnavailable, match="refused"):
        await put(store, key="wrong", sha256="0" * 64)

    assert (await served(store, "wrong")).status_code == 404


@pytest.mark.parametrize("keys", [{"secret_key": "wrong"}, {"access_key": "nobody"}])
async def test_wrong_credentials_are_refused(weed_bucket, keys):
    store = store_at(weed_bucket, **keys)

    for attempt in (put(store, key="stranger"), store.check()):
        with pytest.raises(StorageUnavailable, match="refused"):
            await attempt


async def test_a_tampered_or_unsigned_or_expired_address_is_refused(weed_bucket):
    store = store_at(weed_bucket)
    await put(store, key="private")
    await put(store, key="public")
    url = await store.url("private", expires_in=timedelta(minutes=1))
    client = raw_client(weed_bucket)
    expired = client.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "private"}, ExpiresIn=-60)

    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(url)).status_code == 200
        for wrong in (
            url.replace("/private?", "/public?"),
            url.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"),
            url[:-1] + ("0" if url[-1] != "0" else "1"),
            url.partition("?")[0],
            expired,
        ):
            assert (await http.get(wrong)).status_code in (400, 403), wrong
        assert (await http.delete(url)).status_code == 403
