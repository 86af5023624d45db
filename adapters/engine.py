"""The connection to Temporal, the same for worker, API and command line."""

from __future__ import annotations

import base64
import dataclasses
import os
from collections.abc import Iterable, Sequence

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes, PayloadCodec
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from adapters.engine_payloads import DATA_CONVERTER

_ENCODING = b"binary/encrypted"
_NONCE_BYTES = 12


class EncryptionCodec(PayloadCodec):
    """AES-256-GCM over whole payloads, so that prompts are unreadable in the engine's database and UI."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._encrypted(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._decrypted(payload) for payload in payloads]

    def _encrypted(self, payload: Payload) -> Payload:
        nonce = os.urandom(_NONCE_BYTES)
        return Payload(
            metadata={"encoding": _ENCODING}, data=nonce + self._aead.encrypt(nonce, payload.SerializeToString(), None)
        )

    def _decrypted(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != _ENCODING:
            return payload  # written before a key was configured
        plain = self._aead.decrypt(payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:], None)
        return Payload.FromString(plain)


def data_converter(payload_key: str | None) -> DataConverter:
    """`payload_key` is Base64 of 32 bytes, or None for plain JSON payloads."""
    if payload_key is None:
        return DATA_CONVERTER
    return dataclasses.replace(
        DATA_CONVERTER,
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,  # messages may quote what failed
        payload_codec=EncryptionCodec(base64.b64decode(payload_key)),
    )


def runtime_with_metrics(port: int | None) -> Runtime:
    """A runtime that serves Prometheus metrics on 127.0.0.1:`port`, or the default one."""
    if port is None:
        return Runtime.default()
    return Runtime(
        telemetry=TelemetryConfig(
            metrics=PrometheusConfig(
                bind_address=f"127.0.0.1:{port}",
                durations_as_seconds=True,
                unit_suffix=True,
                counters_total_suffix=True,
            )
        )
    )


async def connect(
    address: str,
    *,
    namespace: str,
    api_key: str | None = None,
    payload_key: str | None = None,
    metrics_port: int | None = None,
    lazy: bool = False,
    plugins: Iterable[object] = (),
) -> Client:
    """Raises RuntimeError when the engine does not answer and `lazy` is off. An API key switches TLS on."""
    return await Client.connect(
        address,
        namespace=namespace,
        api_key=api_key,
        tls=api_key is not None,
        data_converter=data_converter(payload_key),
        runtime=runtime_with_metrics(metrics_port),
        lazy=lazy,
        plugins=list(plugins),  # type: ignore[arg-type]
    )
