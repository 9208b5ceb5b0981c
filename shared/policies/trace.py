"""trace: writes a message of the author's into the request trace and the log."""

import logging
from typing import Any, ClassVar, Literal

from pydantic import Field

from shared.context import Context
from shared.message import GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Markup, Policy

log = logging.getLogger("gateway.trace")
LEVELS = {"verbose": logging.DEBUG, "information": logging.INFO, "error": logging.ERROR}


class Metadata(Markup):
    """A property of the message."""

    name: Expression[str]
    value: Expression[str]


class Trace(Policy):
    """The log record is at level DEBUG, INFO or ERROR by `severity`, in the logger `gateway.trace`, with the properties
    `source` and `metadata`. Where neither a trace nor the log wants it the expressions are not evaluated.

    https://learn.microsoft.com/azure/api-management/trace-policy
    """

    element: ClassVar[str] = "trace"

    source: Expression[str]
    severity: Literal["verbose", "information", "error"] = "verbose"
    message: Expression[str] = Field(alias="(message)")
    metadata: tuple[Metadata, ...] = Field((), alias="(metadata)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """One message, and metadata. Text without `message` around it is one, as documents in use have it."""
        messages: list[Expression[Any]] = [compiler.value(element)] if element.text().strip() else []
        metadata = []
        for child in compiler.children(element, "message", "metadata"):
            if child.name == "message":
                compiler.attributes(child)
                messages.append(compiler.value(child))
            else:
                compiler.expect_no_content(child)
                metadata.append(compiler.model(child, Metadata))
        if len(messages) != 1:
            compiler.problem(element, f"trace needs one message, not {len(messages)}")
        return {
            "message": messages[0] if messages else Expression(""),
            "metadata": tuple(item for item in metadata if item is not None),
        }

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Write the message."""
        level = LEVELS[self.severity]
        if not ctx.tracing and not log.isEnabledFor(level):
            return None
        message = await self.message(ctx)
        metadata = {await item.name(ctx): await item.value(ctx) for item in self.metadata}
        source = await self.source(ctx)
        ctx.trace({"message": message, "metadata": metadata}, source, self.severity)
        extra = {"source": source, "metadata": metadata, "request_id": str(ctx.request_id)}
        log.log(level, "request %s: %s: %s %s", ctx.request_id, source, message, metadata or "", extra=extra)
        return None
