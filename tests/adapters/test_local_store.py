import asyncio
import hashlib
import io
import os
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.local_store import LocalStore
from domain.errors import StorageUnavailable

KEY = "us/account/generation/attempt/0.png"
BODY = b"\x89PNG and so on"
NOW = 1_800_000_000


@pytest.fixture
def store(tmp_path) -> LocalStore:
    return LocalStore(tmp_path / "files", "https://api.example.com/", bytes(32), clock=lambda: NOW)


async def put(store: LocalStore, body: bytes = BODY, key: str = KEY, **claims) -> None:
    claims = {"size_bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()} | claims
    file = io.BytesIO(body)
    file.seek(3)  # wherever a reader left it
    await store.put_once(key, file, content_type="image/png", **claims)


def leftovers(store: LocalStore) -> list[str]:
    return [leftover.name for leftover in (store.path("x").parent / ".incoming").iterdir()]


async def test_a_file_is_stored_whole_and_leaves_nothing_behind(store):
    await put(store)

    assert store.path(KEY).read_bytes() == BODY
    assert leftovers(store) == []


async def test_the_same_file_again_is_a_no_op(store):
    await put(store)
    before = store.path(KEY).stat().st_ino
    await put(store)

    assert store.path(KEY).stat().st_ino == before


async def test_another_file_under_the_same_key_is_refused_and_changes_nothing(store):
    await put(store)

    with pytest.raises(StorageUnavailable):
        await put(store, b"another")

    assert store.path(KEY).read_bytes() == BODY
    assert leftovers(store) == []


@pytest.mark.parametrize("claims", [{"sha256": "0" * 64}, {"size_bytes": 1}])
async def test_a_file_that_is_not_what_was_announced_is_refused(store, claims):
    with pytest.raises(StorageUnavailable):
        await put(store, **claims)

    assert not store.path(KEY).exists()
    assert leftovers(store) == []


async def test_of_two_writers_at_once_one_wins_and_both_are_content(store):
    await asyncio.gather(*[put(store) for _ in range(8)])

    assert store.path(KEY).read_bytes() == BODY


async def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "files").write_text("a file where the folder should be")
    store = LocalStore(tmp_path / "files", "https://api.example.com", bytes(32))

    for attempt in (put(store), store.check(), store.delete(KEY)):
        with pytest.raises(StorageUnavailable):
            await attempt


async def test_a_deleted_file_is_gone_with_its_folders_and_can_be_stored_again(store):
    await put(store)

    assert await store.delete(KEY)
    assert not store.path("us").exists()
    assert not await store.delete(KEY)
    await put(store)


async def test_deleting_one_file_leaves_its_neighbours(store):
    await put(store)
    await put(store, key="us/account/generation/attempt/1.png")

    await store.delete(KEY)

    assert store.path("us/account/generation/attempt/1.png").exists()


async def test_writers_and_deleters_do_not_trip_over_each_other(store):
    keys = [f"us/account/{n % 2}/attempt/{n}.png" for n in range(20)]
    for _ in range(5):
        await asyncio.gather(*[put(store, key=key) for key in keys])
        await asyncio.gather(*[store.delete(key) for key in keys[::2]], *[put(store, key=key) for key in keys[1::2]])

    assert [key for key in keys if store.path(key).exists()] == keys[1::2]


async def test_a_check_leaves_nothing_behind_and_sweeps_what_a_killed_process_left(store):
    await store.check()
    old, new = (store.path("x").parent / ".incoming" / name for name in ("old", "new"))
    for leftover, age in ((old, 90_000), (new, 60)):
        leftover.write_bytes(b"half")
        os.utime(leftover, (NOW - age, NOW - age))

    await store.check()

    assert leftovers(store) == ["new"]


# --- addresses ----------------------------------------------------------------------------------------------------


async def signed(store: LocalStore) -> tuple[str, int, str]:
    url = urlsplit(await store.url(KEY, expires_in=timedelta(hours=1)))
    query = parse_qs(url.query)
    return url.path.removeprefix("/files/"), int(query["expires"][0]), query["signature"][0]


async def test_an_address_serves_until_it_expires(store):
    url = await store.url(KEY, expires_in=timedelta(hours=1))
    key, expires, signature = await signed(store)

    assert url.startswith("https://api.example.com/files/us/account/")
    assert (key, expires) == (KEY, NOW + 3600)
    assert store.verify(key, expires, signature, NOW)
    assert store.verify(key, expires, signature, expires - 0.001)
    assert not store.verify(key, expires, signature, expires)


async def test_a_changed_address_does_not_serve(store, tmp_path):
    key, expires, signature = await signed(store)
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    another = LocalStore(tmp_path, "https://api.example.com", bytes(31) + b"\1")

    assert not store.verify("us/account/generation/attempt/1.png", expires, signature, NOW)
    assert not store.verify(key, expires + 1, signature, NOW)
    for wrong in (flipped, "", signature[:-1], signature + "A", signature + "=", "é"):
        assert not store.verify(key, expires, wrong, NOW)
    assert not another.verify(key, expires, signature, NOW)


HOSTILE = [
    "",
    "/etc/passwd",
    "../x",
    "us/../../x",
    "us/..",
    "us/./x",
    "us//x",
    "us/",
    ".incoming/x",
    "us/.hidden",
    "a\0b",
]


@pytest.mark.parametrize("key", [*HOSTILE, "us\\x", "us/x\n", "us/é", "us/%2e%2e/x", "a/" * 20 + "a", "a" * 200])
async def test_what_is_no_key_never_becomes_a_path(store, key):
    assert not store.verify(key, NOW + 60, store._signature(key, NOW + 60), NOW)
    with pytest.raises(ValueError, match="key"):
        store.path(key)
    with pytest.raises(ValueError, match="key"):
        await store.url(key, expires_in=timedelta(hours=1))


@given(st.text(alphabet="ab./\\\0-_%~", max_size=30))
def test_a_path_never_leaves_the_root(key):
    store = LocalStore(Path("/root-of-files"), "https://api.example.com", bytes(32))
    try:
        path = store.path(key)
    except ValueError:
        return

    assert os.path.normpath(path) == str(path)
    assert str(path).startswith("/root-of-files/")


async def test_a_folder_is_deleted_whole_and_nothing_beside_it(store):
    inside = [f"us/account/one/{name}" for name in ("first/0.png", "first/1.png", "second/0.png")]
    beside = ["us/account/one-more/first/0.png", "us/account/two/first/0.png"]
    for key in inside + beside:
        await put(store, key=key)

    assert await store.delete_folder("us/account/one") == 3
    assert await store.delete_folder("us/account/one") == 0
    assert not store.path("us/account/one").exists()
    assert [store.path(key).exists() for key in beside] == [True, True]


async def test_the_last_folder_of_an_account_takes_the_emptied_ones_above_with_it(store):
    await put(store, key="us/account/one/first/0.png")

    await store.delete_folder("us/account/one")

    assert [entry.name for entry in store.path("us").parent.iterdir()] == [".incoming"]


async def test_two_deletions_of_one_folder_at_once_both_succeed(store):
    for index in range(50):
        await put(store, key=f"us/account/one/first/{index}.png")

    deleted = await asyncio.gather(*(store.delete_folder("us/account/one") for _ in range(4)))

    assert sum(deleted) == 50
    assert not store.path("us").exists()


async def test_a_folder_that_cannot_be_read_is_not_taken_for_an_empty_one(store):
    await put(store)
    blocked = store.path("us/blocked")
    blocked.write_text("a file where a folder should be")

    with pytest.raises(StorageUnavailable):
        await store.delete_folder("us/blocked/one")


@pytest.mark.parametrize("folder", ["", "..", "us/../us", "/us", "us/"])
async def test_a_folder_has_the_form_of_a_key(store, folder: str):
    with pytest.raises(ValueError, match="not an asset key"):
        await store.delete_folder(folder)


@pytest.mark.parametrize("root", ["files", "files/", "../here/files"])
def test_it_is_named_as_its_folder_and_not_where_that_is(tmp_path, monkeypatch, root: str):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    assert LocalStore(Path(root), "https://api.example.com", bytes(32)).name == "files"
