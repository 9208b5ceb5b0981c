"""cache-lookup: answers from the cache what cache-store has kept."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from shared.backends.call_span import tell_lookup
from shared.context import Context
from shared.message import GatewayResponse, Headers
from shared.policies.cache_store_value import CachingType
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Policy, Section
from shared.policies.run import Shortcut
from shared.stores.cache import Caches, TableCache

# A miss must bring the whole response: what would make the backend send less, or say "not modified", is taken off.
CONDITIONS = ("cache-control", "pragma", "if-none-match", "if-modified-since", "if-range", "range")

Downstream = Literal["none", "private", "public"]


@dataclass(frozen=True, slots=True)
class CacheMiss:
    """What cache-lookup leaves for cache-store: where the response belongs, and what callers may do with it."""

    key: str
    caching_type: str
    downstream: Downstream
    must_revalidate: bool


class CacheLookup(Policy):
    """Looks for the response to a GET; on a hit the backend is not called, and outbound goes on after cache-store.

    Responses are kept apart by API, revision, operation, product, path, and all query parameters, or only those of
    `vary-by-query-parameter`; by the `vary-by-header`s; with `vary-by-developer` by the subscription's owner (or the
    subscription, where none is known), with `vary-by-developer-groups` by the owner's groups. Requests with an
    Authorization header are not looked up unless `allow-private-response-caching` says so. `downstream-caching-type`
    and `must-revalidate` become the response's Cache-Control. For `caching-type` see cache-store-value.
    https://learn.microsoft.com/azure/api-management/cache-lookup-policy
    """

    element: ClassVar[str] = "cache-lookup"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound"})
    once: ClassVar[bool] = True
    runs_ahead: ClassVar[bool] = True

    vary_by_developer: Expression[bool]
    vary_by_developer_groups: Expression[bool]
    caching_type: CachingType = "prefer-external"
    downstream_caching_type: Expression[Downstream] = Field(default_factory=lambda: Expression("none"))
    must_revalidate: Expression[bool] = Field(default_factory=lambda: Expression(True))
    allow_private_response_caching: Expression[bool] = Field(default_factory=lambda: Expression(False))
    by_header: tuple[Expression[str], ...] = Field((), alias="(by-header)")
    by_query: tuple[Expression[str], ...] = Field((), alias="(by-query)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """What else the response varies by."""
        compiler.expect_no_text(element)
        found: dict[str, list[Expression[Any]]] = {"by_header": [], "by_query": []}
        for child in compiler.children(element, "vary-by-header", "vary-by-query-parameter"):
            compiler.attributes(child)
            found["by_header" if child.name == "vary-by-header" else "by_query"].append(compiler.value(child))
        return {name: tuple(values) for name, values in found.items()}

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """The cached response, or None with a note for cache-store."""
        request = ctx.request
        private = "authorization" in request.headers
        if request.method != "GET" or (private and not await self.allow_private_response_caching(ctx)):
            ctx.trace({"hit": False, "message": "not a request whose response is cached"}, self.element)
            return None
        miss = CacheMiss(
            await self._key(ctx),
            self.caching_type,
            await self.downstream_caching_type(ctx),
            await self.must_revalidate(ctx),
        )
        cache, began = ctx.services.get(Caches).of(self.caching_type), ctx.services.monotonic()
        found = await cache.get(miss.key)
        response = read_response(found, miss, ctx.services.clock().timestamp()) if found is not None else None
        if isinstance(cache, TableCache):
            tell_lookup(ctx, "cache", began, "miss" if response is None else "response")
        ctx.trace({"hit": response is not None}, self.element)
        if response is not None:
            return Shortcut("cache-store", response, "response")
        for name in CONDITIONS:
            request.headers.remove(name)
        ctx.notes[CacheMiss] = miss
        return None

    async def _key(self, ctx: Context) -> str:
        request = ctx.request
        api, operation = ctx.api, ctx.operation
        parts = [api.id, api.revision] if api is not None else ["", ""]
        parts += [operation.id if operation is not None else "", ctx.product.id if ctx.product is not None else ""]
        parts += [request.original_url.host.lower(), request.original_url.path, request.url.path]
        query = request.url.query()
        names = {name.strip() for text in self.by_query for name in (await text(ctx)).split(";") if name.strip()}
        for name in sorted(names or query):
            parts += [name, *query.get(name, ()), ""]
        parts.append("headers")
        for header in self.by_header:
            name = (await header(ctx)).strip().lower()
            parts += [name, request.headers.get(name) or ""]
        if await self.vary_by_developer(ctx):
            parts += ["developer", *_developer(ctx)]
        if await self.vary_by_developer_groups(ctx):
            parts += ["groups", *sorted(ctx.user.groups if ctx.user is not None else ())]
        return "response:" + joined(parts)


def _developer(ctx: Context) -> tuple[str, str]:
    if ctx.user is not None:
        return "user", ctx.user.id
    if ctx.subscription is None:
        return "", ""
    return ("user", ctx.subscription.owner) if ctx.subscription.owner else ("subscription", ctx.subscription.id)


def joined(parts: Sequence[str]) -> str:
    """The parts in one string, each with its length before it: no two lists give the same."""
    return "".join(f"{len(part)}:{part}" for part in parts)


def cache_control(miss: CacheMiss, seconds: int) -> str:
    """What callers and proxies on the way may do with the response for so many seconds."""
    if miss.downstream == "none":
        return "no-store"
    return f"{miss.downstream}, max-age={max(0, seconds)}" + (", must-revalidate" if miss.must_revalidate else "")


def write_response(response: GatewayResponse, body: bytes, expires: float) -> bytes:
    """A response as bytes: a line of JSON with its head, then the body."""
    head = {
        "status": response.status_code,
        "reason": response.status_reason,
        "headers": list(response.headers.items()),
        "expires": expires,
    }
    return json.dumps(head).encode() + b"\n" + body


def read_response(data: bytes, miss: CacheMiss, now: float) -> GatewayResponse | None:
    """The response that `write_response` wrote; None when the bytes are something else."""
    head, _, body = data.partition(b"\n")
    try:
        fields = json.loads(head)
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields["headers"]]
        response = GatewayResponse(fields["status"], Headers(pairs), body, status_reason=fields["reason"])
        left = int(fields["expires"] - now)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    response.headers.set("cache-control", cache_control(miss, left))
    return response
