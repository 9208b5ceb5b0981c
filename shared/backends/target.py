"""A declared backend made ready to be called: where it is, what it must be shown, how long it may take."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx

from shared.backends.tls import declared_context
from shared.config.backends import Backend, ManagedIdentity, Timeouts, Tls
from shared.context import BackendInfo
from shared.message import RawHeaders, encode_value

KEY_HEADERS = {b"api-key", b"x-api-key"}


@dataclass(frozen=True, slots=True)
class Target:
    """One backend, compiled. `base_path` has no trailing slash; `query` is appended encoded, without `?`.

    What a field holds replaces what the caller sent under the same name. `timeouts` are in seconds, as the transport
    takes them; `extensions` are further ones it takes (the TLS context of a backend that has its own, made of `tls`
    with its files in `folder`).
    """

    info: BackendInfo
    origin: httpx.URL
    base_path: str = ""
    headers: RawHeaders = field(default_factory=list, repr=False)
    replaced_headers: frozenset[bytes] = frozenset()
    query: str = field(default="", repr=False)
    replaced_query: frozenset[str] = frozenset()
    identity: ManagedIdentity | None = None
    timeouts: dict[str, float] = field(default_factory=lambda: _seconds(Timeouts()))
    extensions: dict[str, object] = field(default_factory=dict)
    tls: Tls = field(default_factory=Tls)
    folder: Path | None = None


def compile_backend(id: str, backend: Backend, folder: Path) -> Target:
    """Make a declared backend ready; certificate files are looked up in `folder`. OSError and ValueError (ssl.SSLError
    is an OSError) tell of files that cannot be used."""
    credentials = backend.credentials
    origin, base_path = split_url(backend.url)
    headers = [(name.lower().encode(), encode_value(value)) for name, value in credentials.header.items() if value]
    replaced = {name for name, _ in headers}
    identity = None if replaced & KEY_HEADERS else credentials.managed_identity
    if identity is not None:
        replaced.add(b"authorization")
    return Target(
        info=BackendInfo(id, "Single", backend.url),
        origin=origin,
        base_path=base_path,
        headers=headers,
        replaced_headers=frozenset(replaced),
        query="&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in credentials.query.items()),
        replaced_query=frozenset(name.lower() for name in credentials.query),
        identity=identity,
        timeouts=_seconds(backend.timeouts),
        extensions=_tls_extension(backend.tls, folder),
        tls=backend.tls,
        folder=folder,
    )


def plain_target(url: str, id: str = "") -> Target:
    """A target for a bare URL, as `set-backend-service base-url` names one: no credentials, default timeouts.
    ValueError when it is no http(s) URL."""
    origin, base_path = split_url(url)
    return Target(BackendInfo(id, "Single", url), origin, base_path)


def _seconds(timeouts: Timeouts) -> dict[str, float]:
    return {
        "connect": timeouts.connect,
        "headers": timeouts.headers,
        "read": timeouts.idle,
        "write": timeouts.idle,
        "pool": timeouts.connect,
    }


def _tls_extension(tls: Tls, folder: Path) -> dict[str, object]:
    if tls == Tls():
        return {}
    own = folder / tls.client_certificate_file if tls.client_certificate_file else None
    return {"ssl_context": declared_context(tls, folder, own)}


def split_url(url: str) -> tuple[httpx.URL, str]:
    """(origin, path with single slashes and none at its end) of an http or https URL; ValueError for anything else."""
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError("not an http(s) URL without credentials")
    try:
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # no port there can be
        fits = False
    if not fits:
        raise ValueError(f"not an http(s) URL: {url}")
    try:
        # The portal shows endpoints with a slash at the end, and `{{endpoint}}/openai` then has two.
        return httpx.URL(f"{parts.scheme}://{parts.netloc}"), re.sub("/{2,}", "/", parts.path).rstrip("/")
    except httpx.InvalidURL as error:
        raise ValueError(f"not an http(s) URL: {url}") from error
