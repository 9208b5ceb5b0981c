"""rewrite-uri: turns the caller's path and query into the ones the backend expects."""

import re
from typing import ClassVar
from urllib.parse import quote

from pydantic import Field, model_validator

from shared.context import Context
from shared.errors import PolicyFailed
from shared.message import GatewayResponse, canonical_path, decode_query, without_query_parameters
from shared.policies.expression import Expression
from shared.policies.policy import Policy, Section

PARAMETER = re.compile(r"\{\*?([^{}/?&=]+)\}")
IN_SEGMENT = "-._~!$&'()*+,;=:@"  # what a path segment may hold as it is (RFC 3986 section 3.3)
IN_VALUE = "-._~!$'()*,;:@"  # what the value of a query parameter may hold
IN_TEMPLATE = "%/?" + IN_SEGMENT  # what is encoded already stays


class RewriteUri(Policy):
    """The template is a path below the backend's base URL, with a query if it has one; `{name}` stands for a matched
    parameter of the operation's URL template. With `copy-unmatched-params` query parameters of the caller that neither
    the operation's template nor this one names are kept.

    The path cannot leave the backend's base path: one with dot segments, under any encoding, fails the request.
    https://learn.microsoft.com/azure/api-management/rewrite-uri-policy
    """

    element: ClassVar[str] = "rewrite-uri"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound", "backend"})

    template: Expression[str]
    copy_unmatched_params: Expression[bool] = Field(default_factory=lambda: Expression(True))

    @model_validator(mode="after")
    def _is_path(self) -> "RewriteUri":
        literal = self.template.constant
        if self.template.compiled is None and literal is not None:
            if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", literal):
                raise ValueError("template is a path below the backend's URL; set-backend-service changes the host")
            if canonical_path(_path(PARAMETER.sub("x", literal.partition("?")[0]), {})) is None:
                raise ValueError(f"template is not a path that stays below the backend's URL: {literal}")
        return self

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Rewrite path and query."""
        url, parameters = ctx.request.url, ctx.request.matched_parameters
        template = await self.template(ctx) or "/"
        path, _, query = template.partition("?")
        rewritten = canonical_path(_path(path, parameters))
        if rewritten is None:
            raise PolicyFailed(detail="the rewritten path would leave the backend's base path or is no path")
        query = _filled(query, parameters, IN_VALUE)
        if await self.copy_unmatched_params(ctx):
            query = "&".join(filter(None, (query, _unmatched(ctx, query))))
        url.path, url.query_text = rewritten, query
        if ctx.tracing:
            ctx.trace(
                {"path": rewritten, "parameters": [pair.partition("=")[0] for pair in query.split("&")]}, self.element
            )
        return None


def _path(template: str, parameters: dict[str, str]) -> str:
    path = _filled(template, parameters, IN_SEGMENT)
    return path if path.startswith("/") else f"/{path}"


def _filled(template: str, parameters: dict[str, str], safe: str) -> str:
    """The template with parameters in place, and percent-encoded where a URL cannot hold it as it is."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in parameters:
            raise PolicyFailed(detail=f"the operation has no parameter {match[1]}")
        return quote(parameters[match[1]], safe=safe)

    return quote(PARAMETER.sub(value, template), safe=IN_TEMPLATE)


def _unmatched(ctx: Context, query: str) -> str:
    """The caller's query without what the operation's URL template and the new query name."""
    declared = ctx.operation.url_template.partition("?")[2] if ctx.operation is not None else ""
    named = (pair.partition("=")[0] for text in (declared, query) for pair in text.split("&") if pair)
    return without_query_parameters(ctx.request.url.query_text, frozenset(decode_query(name).lower() for name in named))
