"""Decides who calls: subscription key to subscription and product, by APIM's decision table."""

from dataclasses import dataclass
from typing import Protocol

from shared.config.models import ALL_APIS, Api, Product
from shared.context import Context, Subscription, User
from shared.errors import AccessDenied
from shared.message import CREDENTIALS, query_parameters, without_query_parameters

KEY_HEADERS = (b"ocp-apim-subscription-key", b"api-key", b"x-api-key")


class KeyRing(Protocol):
    """Knows which subscription a key belongs to."""

    async def find(self, key: str) -> Subscription | None:
        """The active subscription of `key`, or None. Unavailable when that cannot be told now."""
        ...


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call one API: the API, its products, and where its callers put the key."""

    api: Api
    products: tuple[Product, ...]
    header: bytes
    query_names: frozenset[str]

    @classmethod
    def of(cls, api: Api, products: tuple[Product, ...]) -> "Access":
        """Make the rules of an API ready."""
        names = frozenset({api.subscription_key.query.lower(), "subscription-key"})
        return cls(api, products, api.subscription_key.header.lower().encode(), names)

    @property
    def open_product(self) -> Product | None:
        """The published product that lets callers in without a subscription."""
        return next((p for p in self.products if not p.subscription_required and p.state == "published"), None)

    def covers(self, subscription: Subscription) -> tuple[bool, Product | None]:
        """Whether the subscription's scope reaches this API, and the product it does so by."""
        if subscription.scope == ALL_APIS:
            return True, None
        kind, _, name = subscription.scope.partition(":")
        if kind == "api":
            return name == self.api.id, None
        product = next((product for product in self.products if product.id == name), None)
        return product is not None, product


@dataclass(slots=True)
class OfferedKeys:
    """The keys a caller sent. `deciding` is the one in a place meant for subscription keys; `bearer` may be something
    else.
    """

    deciding: str | None
    bearer: str | None


def take_keys(ctx: Context, access: Access) -> OfferedKeys:
    """The caller's keys, taken off what a backend will see.

    APIM looks into the API's header, then its query parameter. The other places official SDKs use are tried between
    them, so that clients work unchanged whatever name the API is set to.
    """
    by_name: dict[bytes, str] = {}
    for pair in ctx.request.headers.raw:
        name, value = pair
        if name in CREDENTIALS or name == access.header:
            by_name.setdefault(name, value.decode("latin-1").strip())
            if name == access.header and name not in CREDENTIALS:
                ctx.withheld.append(pair)  # the very object: what a policy sets is another one
    in_query = None
    query = ctx.request.url.query_text
    if query and ("%" in query or "key=" in query.lower() or access.query_names - {"subscription-key"}):
        parameters = {name.lower(): value for name, value in query_parameters(query).items()}
        in_query = next((parameters[name] for name in sorted(access.query_names) if name in parameters), None)
        if in_query is not None:
            rest = without_query_parameters(query, access.query_names)
            ctx.request.url.query_text = ctx.request.original_url.query_text = rest
    deciding = by_name.get(access.header) if access.header != b"authorization" else None
    for usual in KEY_HEADERS:
        deciding = deciding or by_name.get(usual)
    scheme, _, token = by_name.get(b"authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else None
    if bearer is None and access.header == b"authorization":
        bearer = by_name.get(b"authorization")
    return OfferedKeys(deciding or in_query, bearer or None)


async def authorize(ctx: Context, access: Access, keys: KeyRing) -> None:
    """Fill in `ctx.subscription`, its owner as `ctx.user`, and `ctx.product`, or raise AccessDenied (Subscriptions in
    API Management).
    """
    offered = take_keys(ctx, access)
    api = access.api
    if not api.subscription_required:
        if api.forward_caller_credentials:
            _let_through(ctx)
        ctx.product = access.open_product
        return
    for key in (offered.deciding, offered.bearer):
        if key is None:
            continue
        subscription = await keys.find(key)
        allowed, product = access.covers(subscription) if subscription else (False, None)
        if allowed:
            ctx.subscription, ctx.product, ctx.subscription_key = subscription, product, key
            if subscription is not None and subscription.owner:
                ctx.user = User(subscription.owner)
            if api.forward_caller_credentials:
                _let_through(ctx, key)
            return
        if offered.deciding is not None and key is offered.deciding:
            break  # a key in a key's own place decides; a token beside it is meant for somebody else
    ctx.product = access.open_product
    if ctx.product is None:
        if offered.deciding is None and offered.bearer is None:
            raise AccessDenied.missing_key(_challenge(ctx, api))
        raise AccessDenied.invalid_key(_challenge(ctx, api))
    if api.forward_caller_credentials:
        _let_through(ctx)


def _let_through(ctx: Context, key: str | None = None) -> None:
    """Let the caller's own credentials pass to the backend, except the one that was the subscription key."""
    ctx.withheld = [
        pair
        for pair in ctx.withheld
        if pair[0] not in CREDENTIALS
        or pair[0] == b"ocp-apim-subscription-key"
        or (key is not None and key in (text := pair[1].decode("latin-1").strip(), text.partition(" ")[2].strip()))
    ]


def _challenge(ctx: Context, api: Api) -> str:
    url = ctx.request.original_url
    host = url.host.replace('"', "").replace("\\", "")
    return f'AzureApiManagementKey realm="https://{host}/{api.path}",name="{api.subscription_key.header}",type="header"'
