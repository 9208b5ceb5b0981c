"""mock-response: ends the pipeline with an answer that no backend gave."""

from typing import Any, ClassVar

from pydantic import Field, NonNegativeInt, SkipValidation

from shared.config.responses import Representation
from shared.context import Context
from shared.message import GatewayResponse, Headers
from shared.policies.compiler import Compiler
from shared.policies.nodes import Element
from shared.policies.policy import Policy, Section
from shared.policies.set_status import StatusCode

# RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5: these have no content.
WITHOUT_CONTENT = (204, 205, 304)


class MockResponse(Policy):
    """The response has the status and Content-Type of the attributes, and the body the operation's OpenAPI document
    has for them: an example (the one of `index`, the first by default), else a sample made from the schema, else none.
    Without `content-type` it is the first representation's. What it is was found at load.
    https://learn.microsoft.com/azure/api-management/mock-response-policy
    """

    element: ClassVar[str] = "mock-response"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound", "outbound", "on-error"})

    status_code: StatusCode = 200
    content_type: str | None = None
    index: NonNegativeInt | None = None
    representation: SkipValidation[Representation | None] = Field(None, alias="(representation)", repr=False)

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The representation of the operation the document is compiled for."""
        compiler.expect_no_content(element)
        status = compiler.known(element, "status-code") or "200"
        index = compiler.known(element, "index") or "0"
        if not status.isdecimal():  # told with the other attributes
            return {}
        found = None
        for place, responses in compiler.responses():
            response = responses.of(int(status))
            found = response.representation(compiler.known(element, "content-type"))
            problems = [*response.problems, *(found.problems if found is not None else ())]
            if found is not None and found.examples and index.isdecimal() and int(index) >= len(found.examples):
                problems.append(f"there is no example {index}, the first of {len(found.examples)} is sent")
            for problem in problems:
                compiler.problem(element, f"{place}: {problem}", severity="warning")
        # When it is only checked, for several operations, it does not run.
        return {"representation": found}

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """The response to send."""
        headers, body = Headers(), b""
        if self.representation is not None:
            headers.set("content-type", self.representation.sent_as)
            body = self._example(self.representation.examples)
        if self.content_type:
            headers.set("content-type", self.content_type)
        return GatewayResponse(self.status_code, headers, body)

    def _example(self, examples: tuple[bytes, ...]) -> bytes:
        if not examples or self.status_code in WITHOUT_CONTENT:
            return b""
        return examples[self.index] if self.index is not None and self.index < len(examples) else examples[0]
