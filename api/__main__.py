"""`python -m api`: the HTTP API on one address, until SIGTERM or SIGINT; what is under way then is answered first."""

from __future__ import annotations

import argparse

import uvicorn

from api.http_heads import BoundedHeads

ENDS_WITHIN_S = 10  # what is still not answered then is cut off


def main() -> None:
    asked = _parser().parse_args()
    uvicorn.run(
        "api.app:create_app",
        factory=True,
        host=asked.host,
        port=asked.port,
        loop="uvloop",
        http=BoundedHeads,
        ws="none",
        access_log=False,
        server_header=False,
        # Whose X-Forwarded-For is believed is a setting of ours: uvicorn would believe every peer on loopback.
        proxy_headers=False,
        timeout_graceful_shutdown=asked.ends_within,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m api", description="The HTTP API. Its settings are BABYSEA_* variables."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to bind to (%(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port to bind to (%(default)s)")
    parser.add_argument(
        "--ends-within",
        type=int,
        default=ENDS_WITHIN_S,
        metavar="SECONDS",
        help="how long requests under way are waited for at the end (%(default)s)",
    )
    return parser


if __name__ == "__main__":
    main()
