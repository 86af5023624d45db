"""Signed addresses of a bucket are those that the SDK would make."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials

from adapters.s3_addresses import BucketAddresses

BUCKET = "artifacts"
KEYS = ReadOnlyCredentials("AKIAEXAMPLE", "se/cret+with=signs", None)
SESSION = KEYS._replace(token="FwoG/token+of=a//role")


def made_by_the_sdk(
    endpoint: str | None, region: str, key: str, credentials: ReadOnlyCredentials, seconds: int
) -> tuple[str, Any]:
    """The address, and where the SDK found the bucket's endpoint."""
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.token,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    asked = {"Bucket": BUCKET, "Key": key}
    return client.generate_presigned_url("get_object", Params=asked, ExpiresIn=seconds), client.meta.endpoint_url


@pytest.mark.parametrize(
    ("endpoint", "region", "key", "credentials", "seconds"),
    [
        pytest.param("http://127.0.0.1:9000", "us-east-1", "us/a/b/0.png", KEYS, 3600, id="a store of one's own"),
        pytest.param("https://objects.example:443/store", "eu", "us/a/0.png", KEYS, 60, id="default port, a folder"),
        pytest.param("http://[::1]:9000", "us-east-1", "0.png", KEYS, 3600, id="IPv6"),
        pytest.param(None, "eu-central-1", "us/a/b/0.png", SESSION, 604_800, id="AWS, with a role's session"),
        pytest.param(None, "us-east-1", "us/a b/ü~(1).png", KEYS, 3600, id="a key with characters to escape"),
    ],
)
def test_an_address_is_what_the_sdk_makes(
    endpoint: str | None, region: str, key: str, credentials: ReadOnlyCredentials, seconds: int
) -> None:
    expected, found = made_by_the_sdk(endpoint, region, key, credentials, seconds)
    (then,) = parse_qs(urlsplit(expected).query)["X-Amz-Date"]
    now = datetime.strptime(then, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)

    made = BucketAddresses(found, BUCKET, region).signed(
        key, credentials, now=now, expires_in=timedelta(seconds=seconds)
    )

    assert urlsplit(made)._replace(query="") == urlsplit(expected)._replace(query="")
    assert parse_qs(urlsplit(made).query) == parse_qs(urlsplit(expected).query)
