"""The command line of the simulator."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import uvicorn

from sandbox.app import Options, create_app
from sandbox.connection import ResettableProtocol
from sandbox.submissions import Latencies


def main() -> None:
    asked = _parser().parse_args()
    logging.basicConfig(level=asked.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    options = Options(
        data=asked.data,
        latencies=Latencies(asked.latency_scale, asked.seed),
        retention_s=asked.retention,
        retry_scale=asked.retry_scale,
    )
    config = uvicorn.Config(
        create_app(options),
        host=asked.host,
        port=asked.port,
        http=ResettableProtocol,
        loop="uvloop",
        log_config=None,
        log_level=asked.log_level,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
    )
    listening = config.bind_socket()
    listening.listen(config.backlog)  # from here on callers may connect
    host, port = listening.getsockname()[:2]
    print(f"sandbox ready at http://{host}:{port}", flush=True)  # the first line: the port may have been chosen here
    uvicorn.Server(config).run(sockets=[listening])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="A simulator of the providers' APIs.")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind to (%(default)s)")
    parser.add_argument("--port", type=int, default=8090, help="port to bind to, 0: any free one (%(default)s)")
    parser.add_argument("--data", type=Path, default=Path(".data/sandbox.sqlite"), help="the SQLite file (%(default)s)")
    parser.add_argument(
        "--latency-scale", type=float, default=1.0, help="factor on the latency of jobs, 0: at once (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the latencies (%(default)s)")
    parser.add_argument("--retention", type=float, default=3600.0, help="seconds finished jobs are kept (%(default)s)")
    parser.add_argument(
        "--retry-scale", type=float, default=1.0, help="factor on the pauses between callback attempts (%(default)s)"
    )
    parser.add_argument(
        "--log-level", default="warning", choices=["debug", "info", "warning", "error"], help="(%(default)s)"
    )
    return parser


if __name__ == "__main__":
    main()
