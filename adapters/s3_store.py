"""Assets in a bucket of any S3 API. boto3 is blocking: its calls run in a pool of threads of their own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from adapters.s3_addresses import BucketAddresses
from domain.errors import StorageUnavailable

THREADS = 32
PART_BYTES = 16 * 2**20

_EXISTS = frozenset({"PreconditionFailed", "412"})
_MISSING = frozenset({"NoSuchKey", "NotFound", "404"})
_Result = TypeVar("_Result")


class S3Store:
    """The store compares checksums on arrival, and refuses a second object under a key (`If-None-Match: *`)."""

    def __init__(
        self,
        bucket: str,
        endpoint: str | None,
        access_key: str | None,
        secret_key: str | None,
        region: str,
    ) -> None:
        """Without an endpoint: AWS. Without keys: the usual AWS sources of credentials."""
        self.name = bucket
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="s3")
        session = boto3.Session(access_key, secret_key, region_name=region)
        self._credentials = session.get_credentials()
        self._s3 = session.client(
            "s3",
            endpoint_url=endpoint,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                max_pool_connections=THREADS,
                retries={"max_attempts": 3, "mode": "standard"},
                connect_timeout=5,
                read_timeout=60,
            ),
        )
        self._addresses = BucketAddresses(self._s3.meta.endpoint_url, bucket, region)

    async def put_once(self, key: str, file: BinaryIO, *, size_bytes: int, sha256: str, content_type: str) -> None:
        whole = size_bytes <= PART_BYTES
        await self._run(lambda: (self._put if whole else self._put_parts)(key, file, sha256, content_type))

    async def url(self, key: str, *, expires_in: timedelta) -> str:
        """Made here, without a request; valid for seven days at most."""
        if self._credentials is None:
            raise StorageUnavailable("There are no credentials for the object store.")
        frozen = self._credentials.get_frozen_credentials()
        return self._addresses.signed(key, frozen, now=datetime.now(UTC), expires_in=expires_in)

    async def delete(self, key: str) -> bool:
        return await self._run(lambda: self._delete(key))

    async def delete_folder(self, folder: str) -> int:
        return await self._run(lambda: self._delete_folder(folder))

    async def check(self) -> None:
        await self._run(lambda: self._s3.head_bucket(Bucket=self.name))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._s3.close()

    async def _run(self, call: Callable[[], _Result]) -> _Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except ClientError as error:
            raise StorageUnavailable(f"The object store refused: {_code(error)}.") from error
        except BotoCoreError as error:
            raise StorageUnavailable(f"The object store does not answer: {type(error).__name__}.") from error

    def _object(self, key: str) -> dict[str, str]:
        return {"Bucket": self.name, "Key": key}

    # in threads from here on

    def _put(self, key: str, file: BinaryIO, sha256: str, content_type: str) -> None:
        file.seek(0)
        try:
            self._s3.put_object(
                **self._object(key),
                **_described(sha256, content_type),
                Body=file,
                ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),
                IfNoneMatch="*",
            )
        except ClientError as error:
            self._accept_same(error, key, sha256)

    def _put_parts(self, key: str, file: BinaryIO, sha256: str, content_type: str) -> None:
        """A large file in parts, one after the other: a part is held in memory, the file is not."""
        if self._stored(key) is not None:
            return self._require_same(key, sha256)
        upload = self._object(key) | {
            "UploadId": self._s3.create_multipart_upload(
                **self._object(key), **_described(sha256, content_type), ChecksumAlgorithm="SHA256"
            )["UploadId"]
        }
        try:
            parts = self._upload_parts(upload, file, sha256)
            self._s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
        except BaseException as error:
            self._abort(upload)
            if not isinstance(error, ClientError):
                raise
            self._accept_same(error, key, sha256)
        return None

    def _upload_parts(self, upload: dict[str, str], file: BinaryIO, sha256: str) -> list[dict[str, Any]]:
        file.seek(0)
        parts: list[dict[str, Any]] = []
        whole = hashlib.sha256()
        while data := file.read(PART_BYTES):
            whole.update(data)
            checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
            number = len(parts) + 1
            sent = self._s3.upload_part(**upload, PartNumber=number, Body=data, ChecksumSHA256=checksum)
            parts.append({"PartNumber": number, "ETag": sent["ETag"], "ChecksumSHA256": checksum})
        if whole.hexdigest() != sha256:
            raise StorageUnavailable("The file changed on its way into the store.")
        return parts

    def _abort(self, upload: dict[str, str]) -> None:
        with suppress(ClientError, BotoCoreError):  # completed meanwhile, or left to the bucket's rule for leftovers
            self._s3.abort_multipart_upload(**upload)

    def _accept_same(self, error: ClientError, key: str, sha256: str) -> None:
        """After a refused write: nothing is wrong when the same bytes are there already."""
        if _code(error) not in _EXISTS:
            raise error
        self._require_same(key, sha256)

    def _require_same(self, key: str, sha256: str) -> None:
        stored = self._stored(key)
        if stored is None or stored["Metadata"].get("sha256") != sha256:
            raise StorageUnavailable("Another object is already stored under this key.")

    def _stored(self, key: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._s3.head_object(**self._object(key))
        except ClientError as error:
            if _code(error) in _MISSING:
                return None
            raise
        return found

    def _delete(self, key: str) -> bool:
        if self._stored(key) is None:
            return False
        self._s3.delete_object(**self._object(key))
        return True

    def _delete_folder(self, folder: str) -> int:
        """One by one: not every store that speaks S3 can delete many at once."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=f"{folder}/")
        keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        for key in keys:
            self._s3.delete_object(**self._object(key))
        return len(keys)


def _described(sha256: str, content_type: str) -> dict[str, Any]:
    return {"ContentType": content_type, "Metadata": {"sha256": sha256}}


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))
