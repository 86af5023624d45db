"""Whose certificates are believed."""

from __future__ import annotations

import ssl
from functools import cache

import httpx


@cache
def trusted() -> ssl.SSLContext:
    """The public authorities, for every client of the process. Read once: the list is long, and reading it costs
    about 50 ms of CPU."""
    return httpx.create_ssl_context(trust_env=False)
