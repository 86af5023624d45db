"""Which addresses may be contacted when the URL comes from outside: a customer's file or webhook, a provider's output.

Public https on port 443 only. Names are not judged by how they look but by every address they resolve to, by whoever
connects; hosts written as numbers are accepted in their one usual form. Exceptions are named as `host:port`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address
from urllib.parse import urlsplit

from domain.errors import AddressRefused

URL_BYTES_MAX = 2048
NOT_PUBLIC = "The host has no public address."

_PORTS = {"https": 443, "http": 80}
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{0,5}))?")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

# IANA's registries of special-purpose addresses, read 2026-11, and what is known to be special without being there
_REFUSED_V4 = [
    IPv4Network("0.0.0.0/8"),  # this network
    IPv4Network("10.0.0.0/8"),  # private
    IPv4Network("100.64.0.0/10"),  # carrier NAT
    IPv4Network("127.0.0.0/8"),  # loopback
    IPv4Network("169.254.0.0/16"),  # link-local, metadata services
    IPv4Network("172.16.0.0/12"),  # private
    IPv4Network("192.0.0.0/24"),  # protocol assignments
    IPv4Network("192.0.2.0/24"),  # documentation
    IPv4Network("192.31.196.0/24"),  # AS112
    IPv4Network("192.52.193.0/24"),  # AMT
    IPv4Network("192.88.99.0/24"),  # 6to4 relays
    IPv4Network("192.168.0.0/16"),  # private
    IPv4Network("192.175.48.0/24"),  # AS112
    IPv4Network("198.18.0.0/15"),  # benchmarks
    IPv4Network("198.51.100.0/24"),  # documentation
    IPv4Network("203.0.113.0/24"),  # documentation
    IPv4Network("224.0.0.0/4"),  # multicast
    IPv4Network("240.0.0.0/4"),  # reserved, broadcast
    IPv4Network("168.63.129.16/32"),  # host services of a cloud
]
_PUBLIC_V6 = IPv6Network("2000::/3")  # mapped, translated (64:ff9b::), local and multicast forms lie outside
_REFUSED_V6 = [
    IPv6Network("2001::/23"),  # protocol assignments, Teredo among them
    IPv6Network("2001:db8::/32"),  # documentation
    IPv6Network("2002::/16"),  # 6to4
    IPv6Network("2620:4f:8000::/48"),  # AS112
    IPv6Network("3fff::/20"),  # documentation
]


@dataclass(frozen=True)
class Address:
    """A checked URL taken apart. `host` is a name or a bare IP address; `target` is the path with its query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True)
class AddressRules:
    """The rules and their exceptions: `private_hosts` as host:port, or everything (development only)."""

    private_hosts: frozenset[str] = frozenset()
    all_private: bool = False

    def exempt(self, host: str, port: int) -> bool:
        """Whether this host may be private, on any port, without TLS."""
        named = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return self.all_private or named in self.private_hosts

    def parse(self, url: str) -> Address:
        """Raises AddressRefused. Resolves nothing: a name that passes here may still lead to a refused address."""
        address = self.well_formed(url)
        if not self.exempt(address.host, address.port):
            _check_host(address.host)
        return address

    def well_formed(self, url: str) -> Address:
        """The URL taken apart, whatever its host is. Raises AddressRefused for what is wrong with the text itself."""
        if len(url) > URL_BYTES_MAX:
            raise AddressRefused(f"The URL is longer than {URL_BYTES_MAX} bytes.")
        if not _VISIBLE.fullmatch(url) or "\\" in url:
            raise AddressRefused("The URL has blanks, control characters, backslashes or characters outside ASCII.")
        if "#" in url:
            raise AddressRefused("The URL has a fragment.")
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise AddressRefused("The URL is malformed.") from error
        if parts.scheme not in _PORTS:
            raise AddressRefused("The URL is not an https URL.")
        if "@" in parts.netloc:
            raise AddressRefused("The URL has credentials in it.")
        match = _AUTHORITY.fullmatch(parts.netloc.lower())
        if match is None:
            raise AddressRefused("The host of the URL is malformed.")
        host, port = match["host"].strip("[]"), int(match["port"] or _PORTS[parts.scheme])
        if (parts.scheme, port) != ("https", 443) and not self.exempt(host, port):
            raise AddressRefused("Only https on port 443 is allowed.")
        query = f"?{parts.query}" if parts.query else ""
        return Address(parts.scheme, host, port, (parts.path or "/") + query)

    def check_ip(self, text: str, host: str, port: int) -> None:
        """Raises AddressRefused unless `text`, an address of `host`, may be connected to."""
        if not self.exempt(host, port) and not is_public(text):
            raise AddressRefused(NOT_PUBLIC)


PUBLIC_ONLY = AddressRules()


def is_public(text: str) -> bool:
    """Whether this is an IP address of the public internet, in usual notation, without a zone."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _REFUSED_V4)
    return address.scope_id is None and address in _PUBLIC_V6 and not any(address in block for block in _REFUSED_V6)


def is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _check_host(host: str) -> None:
    labels = host.split(".")
    if ":" in host or _NUMBER.fullmatch(labels[-1]):  # an address, also where it is written as one number
        if not is_public(host):
            raise AddressRefused("The host is not a public address in its usual form.")
    elif len(labels) < 2 or len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise AddressRefused("The host is not a public name.")
