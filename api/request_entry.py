"""The entry of one answered request in the request log: what may be kept of it, and nothing else."""

from __future__ import annotations

import hmac
import re
from functools import lru_cache
from hashlib import sha256
from urllib.parse import parse_qsl

from starlette.types import Scope

from store.keys import KeyOwner
from store.requests import Entry

CLIENT_GONE = 499  # nobody was left to answer; as nginx calls it
PARAMETERS = frozenset({"audio", "count", "days", "duration", "limit", "offset", "resolution"})
_PARAMETERS_MAX = 20
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9.+:-]{0,16}\Z")  # shorter than any key
_KEY = re.compile(r"(by[eo]_)[A-Za-z0-9_-]{6,}")  # more than the prefix that may be shown
_PATH_MAX, _HEADER_MAX = 512, 256
_HEADERS = {  # in the order in which an entry has them
    b"user-agent": 0,
    b"x-babysea-sdk-name": 1,
    b"x-babysea-sdk-version": 2,
    b"x-babysea-sdk-runtime": 3,
    b"x-babysea-sdk-runtime-version": 4,
}


def entry_of(
    scope: Scope, caller: KeyOwner, *, status: int, came_at: float, duration_s: float, address_key: bytes
) -> Entry:
    """What is logged of a request by this caller. `came_at`: Unix seconds."""
    state = scope["state"]
    route = scope.get("route")
    client_ip = state.get("client_ip")
    headers: list[str | None] = [None] * len(_HEADERS)
    for name, value in scope["headers"]:
        place = _HEADERS.get(name)
        if place is not None:
            headers[place] = _header(value)
    user_agent, sdk_name, sdk_version, sdk_runtime, sdk_runtime_version = headers
    return Entry(  # by position, which takes half the time; see there for the names
        caller.account_id,
        came_at,
        caller.api_key_id,
        state["request_id"],
        "active" if caller.rotated_at is None else "rotated",
        scope["method"],
        _clean(scope["path"], _PATH_MAX),
        "unknown" if route is None else route.path_format,
        sanitised(scope["query_string"]),
        status,
        state.get("error_code"),
        state.get("replayed", False),
        client_ip and address_hash(address_key, caller.account_id, client_ip),
        user_agent,
        sdk_name,
        sdk_version,
        sdk_runtime,
        sdk_runtime_version,
        round(duration_s * 1000),
    )


def sanitised(query: bytes) -> str | None:
    """Known parameters in order; a value that is no short plain word is shown as `?`. None when nothing is left."""
    if not query:
        return None
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_PARAMETERS_MAX)
    except ValueError:
        return None
    known = [(name, value if _PLAIN_VALUE.match(value) else "?") for name, value in pairs if name in PARAMETERS]
    return "&".join(f"{name}={value}" for name, value in known) or None


@lru_cache(maxsize=10_000)
def address_hash(key: bytes, account_id: str, address: str) -> str:
    """SHA-256 of the client's address, keyed and salted by account, in hexadecimal.

    Keyed, because four billion addresses are soon tried; salted, so that accounts cannot be compared.
    """
    return hmac.new(key, f"{account_id}/{address}".encode(), sha256).hexdigest()


@lru_cache(maxsize=1_000)
def _header(value: bytes) -> str:
    return _clean(value.decode("latin-1"), _HEADER_MAX)


def _clean(text: str, chars_max: int) -> str:
    """Bounded, without a key that strayed there, and what a terminal or PostgreSQL would take for a command."""
    text = _KEY.sub(r"\1?", text)[:chars_max]
    return text if text.isprintable() else "".join(one if one.isprintable() else "?" for one in text)
