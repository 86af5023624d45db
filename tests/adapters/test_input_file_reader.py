"""Input files as bytes: read through the guarded client, refused when they are not what they were."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from adapters.guarded_http import GuardedFetcher
from adapters.input_files import FileReader
from domain.errors import Fault, ProviderRejectedInput


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6)).save(file, "PNG")
    return file.getvalue()


async def test_a_file_is_read_with_the_type_that_it_really_is():
    address = f"data:image/webp;base64,{base64.b64encode(picture()).decode()}"

    read = await FileReader(GuardedFetcher())(address)

    assert (read.content, read.content_type) == (picture(), "image/png")


@pytest.mark.parametrize(
    "address", ["http://169.254.169.254/latest", "data:image/png;base64,AAAA", "https://"], ids=str
)
async def test_a_copy_of_ours_that_cannot_be_read_is_our_fault_and_no_refusal_of_the_file(address: str):
    with pytest.raises(ProviderRejectedInput) as unread:
        await FileReader(GuardedFetcher())(address)

    assert unread.value.fault is Fault.OURS
