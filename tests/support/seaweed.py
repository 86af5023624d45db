"""A real S3 server on loopback: SeaweedFS, one per module that asks, killed at the end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedded.ports import free_ports

ACCESS_KEY, SECRET_KEY = "genkey", "gensecret"

_PORTS = [part + kind for part in ("s3", "master", "volume", "filer") for kind in (".port", ".port.grpc")]


@contextmanager
def seaweed(folder: Path) -> Iterator[str]:
    """The address of the S3 API."""
    identity = {"name": "gen", "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]}
    identity["actions"] = ["Admin", "Read", "List", "Tagging", "Write"]
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    data = folder / "data"
    data.mkdir()
    ports = free_ports(len(_PORTS))
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(
            [
                Path(sys.executable).parent / "weed",
                "server",
                f"-dir={data}",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-s3",
                f"-s3.config={folder / 's3.json'}",
                *(f"-{name}={port}" for name, port in zip(_PORTS, ports, strict=True)),
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                "-master.volumeSizeLimitMB=64",
                "-volume.max=50",
                "-master.telemetry=false",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        _wait_until_ready(process, ports[0], folder / "weed.log")
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        process.send_signal(signal.SIGKILL)  # asked politely it takes half a minute
        process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
        except urllib.error.HTTPError:
            return  # 403: it asks who we are, so it is there
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"SeaweedFS did not start:\n{log.read_text(errors='replace')[-2000:]}")
