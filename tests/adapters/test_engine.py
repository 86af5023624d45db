"""What travels through the engine: the same JSON as the SDK's own, unreadable when a key is set."""

from __future__ import annotations

import base64

import pytest
from temporalio.api.failure.v1 import Failure
from temporalio.converter import DataConverter

from adapters.engine import data_converter
from domain import ending
from domain.errors import ProviderFailed
from domain.generation import Admission, CallbackReceived, Finished, GenerationRequest, GenerationStatus, Outcome
from tests.support.requests import a_request

KEY = base64.b64encode(bytes(range(32))).decode()
REQUEST = a_request()
RECORDS = [
    REQUEST,
    ending.failed(REQUEST, [ending.failure_of("fal", ProviderFailed("HTTP 500"))]),
    Admission("g", "bfl/flux-schnell", ["replicate"], "p"),
    Finished(GenerationStatus.SUCCEEDED, ["d"]),
    CallbackReceived(1, "evt"),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
async def test_a_record_comes_back_as_it_was(
    record: GenerationRequest | Outcome | Admission | Finished | CallbackReceived, key: str | None
) -> None:
    converter = data_converter(key)

    (back,) = await converter.decode(await converter.encode([record]), [type(record)])

    assert back == record


async def test_the_json_is_the_sdks_own() -> None:
    (ours,) = await data_converter(None).encode([REQUEST])
    (theirs,) = await DataConverter.default.decode([ours], [GenerationRequest])

    assert theirs == REQUEST


async def test_a_prompt_cannot_be_read_in_an_encrypted_payload() -> None:
    (payload,) = await data_converter(KEY).encode([REQUEST])

    assert b"harbour" not in payload.SerializeToString()
    assert b"harbour" in (await data_converter(None).encode([REQUEST]))[0].data


async def test_payloads_from_before_a_key_was_set_are_still_read() -> None:
    plain = await data_converter(None).encode([REQUEST])

    assert await data_converter(KEY).decode(plain, [GenerationRequest]) == [REQUEST]


async def test_a_payload_that_is_no_record_is_refused_without_quoting_it() -> None:
    (payload,) = await data_converter(None).encode([{"generation_id": 7, "prompt": "a secret harbour"}])

    with pytest.raises(ValueError, match="generation_id") as refused:
        await data_converter(None).decode([payload], [GenerationRequest])

    assert "harbour" not in str(refused.value)
    assert refused.value.__cause__ is None


async def test_a_failures_message_is_encrypted_with_the_payloads() -> None:
    converter = data_converter(KEY)
    failure = Failure()

    await converter.encode_failure(ValueError("DETAIL: a secret harbour"), failure)

    assert b"harbour" not in failure.SerializeToString()
