"""ip-filter: lets callers in, or keeps them out, by their address."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from shared.context import Context
from shared.errors import PolicyFailed, Refusal
from shared.message import GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Markup, Policy, Section

Address = IPv4Address | IPv6Address


class AddressRange(Markup):
    """All addresses between two of the same family, both included."""

    from_: Expression[str]
    to: Expression[str]

    @model_validator(mode="after")
    def _in_order(self) -> "AddressRange":
        ends = [parse(end.constant) for end in (self.from_, self.to) if end.compiled is None]
        if len(ends) == 2:
            check_range(*ends)
        return self

    async def has(self, address: Address, ctx: Context) -> bool:
        """Whether the address lies in the range."""
        start, end = parse(await self.from_(ctx)), parse(await self.to(ctx))
        check_range(start, end)
        return start.version == address.version and int(start) <= int(address) <= int(end)


class IpFilter(Policy):
    """`allow`: only the listed addresses may call; `forbid`: they may not. IPv4 inside IPv6 counts as IPv4.

    A caller whose address cannot be told is refused in both cases. Like APIM it takes no CIDR notation.
    https://learn.microsoft.com/azure/api-management/ip-filter-policy
    """

    element: ClassVar[str] = "ip-filter"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound"})

    action: Expression[Literal["allow", "forbid"]]
    addresses: tuple[Expression[str], ...] = Field((), alias="(addresses)")
    ranges: tuple[AddressRange, ...] = Field((), alias="(ranges)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The `address` and `address-range` children."""
        compiler.expect_no_text(element)
        addresses: list[Expression[str]] = []
        ranges: list[AddressRange] = []
        children = compiler.children(element, "address", "address-range")
        for child in children:
            if child.name == "address":
                address = compiler.value(child)
                known = address.compiled is None and address.constant is not None
                if known and not compiler.named_values.is_open(child.text()):
                    try:
                        parse(address.constant)
                    except ValueError as error:
                        compiler.problem(child, str(error))
                addresses.append(address)
            else:
                compiler.expect_no_content(child)
                found = compiler.model(child, AddressRange)
                ranges += [found] if found is not None else []
        if not children:
            compiler.problem(element, "at least one address or address-range is needed")
        return {"addresses": tuple(addresses), "ranges": tuple(ranges)}

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Let the request pass or refuse it."""
        try:
            caller = parse(ctx.request.ip_address)
        except ValueError as error:
            message = "Failed to establish IP address for the caller. Access denied."
            raise self._refusal("FailedToParseCallerIP", message) from error
        try:
            listed = await self._lists(caller, ctx)
        except ValueError as error:
            raise PolicyFailed(detail=str(error)) from error
        if await self.action(ctx) == "allow":
            if not listed:
                message = f"Caller IP address {ctx.request.ip_address} is not allowed. Access denied."
                raise self._refusal("CallerIpNotAllowed", message)
        elif listed:
            raise self._refusal("CallerIpBlocked", "Caller IP address is blocked. Access denied.")
        return None

    async def _lists(self, caller: Address, ctx: Context) -> bool:
        for address in self.addresses:
            if parse(await address(ctx)) == caller:
                return True
        for span in self.ranges:
            if await span.has(caller, ctx):
                return True
        return False

    def _refusal(self, reason: str, message: str) -> Refusal:
        return Refusal(message, status=403, source=self.element, reason=reason, answer="Forbidden")


def parse(text: str | None) -> Address:
    """An address; ValueError when the text is none."""
    bare = (text or "").strip().partition("%")[0]
    try:
        address = ip_address(bare)
    except ValueError as error:
        hint = "; write a CIDR range as address-range from and to" if "/" in bare else ""
        raise ValueError(f"not an IP address: {bare or 'no text'}{hint}") from error
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def check_range(start: Address, end: Address) -> None:
    """ValueError unless the two are the ends of a range."""
    if start.version != end.version or int(start) > int(end):
        raise ValueError(f"not a range: from {start} to {end}")
