"""Which proxy a backend is reached through: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY (pure)."""

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Proxy:
    """A plain HTTP proxy; ``authorization`` is the ready Proxy-Authorization value, if it wants one."""

    host: str
    port: int
    authorization: bytes | None = field(default=None, repr=False)


def parse_proxy(url: str) -> Proxy:
    """``http://user:password@host:port`` (the scheme may be left out) -> Proxy.

    Raises ``ValueError`` for anything but a plain HTTP proxy; the message holds no password.
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http":
        raise ValueError(f"a proxy must be http://host:port, not {parts.scheme}://")
    if not parts.hostname:
        raise ValueError("the proxy's address has no host")
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = b"Basic " + base64.b64encode(pair.encode())
    return Proxy(parts.hostname, parts.port or 80, authorization)


def proxy_for(scheme: str, host: str, port: int, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy for one origin, ``None`` for a direct way.

    Lower-case names win, as in curl; HTTP_PROXY in capitals is ignored under CGI, where a client's `Proxy` header
    would set it. Raises ``ValueError`` for a value that is no plain HTTP proxy.
    """
    if bypasses(host, port, environ.get("no_proxy") or environ.get("NO_PROXY") or ""):
        return None
    names = [f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY"]
    forged = "HTTP_PROXY" if "REQUEST_METHOD" in environ else None
    url = next((environ[name] for name in names if environ.get(name) and name != forged), None)
    return parse_proxy(url) if url else None


def bypasses(host: str, port: int, no_proxy: str) -> bool:
    """Whether NO_PROXY names this host: `*`, a host or its parent domain, `host:port`, an address or a network."""
    return any(_entry_fits(entry.strip().lower(), host.lower(), port) for entry in no_proxy.split(",") if entry.strip())


def _entry_fits(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    address = _address(host)
    if address is not None:
        return _network_holds(entry, address) or entry in (f"{host}:{port}", f"[{host}]:{port}")
    name, _, wanted_port = entry.partition(":")
    if wanted_port and wanted_port != str(port):
        return False
    name = name.removeprefix("*").removeprefix(".")
    return host == name or host.endswith(f".{name}")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _network_holds(entry: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return False
