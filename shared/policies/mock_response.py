"""mock-response: ends the pipeline with an answer that no backend gave."""

from typing import Any, ClassVar

from pydantic import Field, NonNegativeInt

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
    body: bytes = Field(b"", alias="(body)", repr=False)
    body_type: str | None = Field(None, alias="(body-type)")

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The body and its type, of the operation the document is compiled for."""
        compiler.expect_no_content(element)
        status = compiler.known(element, "status-code") or "200"
        index = compiler.known(element, "index") or "0"
        if not (status.isdecimal() and index.isdecimal()):  # told with the other attributes
            return {}
        body, body_type = b"", None
        # There are several when it is only checked.
        for place, responses in compiler.responses():
            response = responses.of(int(status))
            found = response.representation(compiler.known(element, "content-type"))
            problems = list(response.problems)
            if found is not None:
                body, body_type = b"", found.sent_as
                problems += found.problems
                if found.examples and int(status) not in WITHOUT_CONTENT:
                    body = found.examples[int(index) if int(index) < len(found.examples) else 0]
                if found.examples and int(index) >= len(found.examples):
                    problems.append(f"there is no example {index}, the first of {len(found.examples)} is sent")
            for problem in problems:
                compiler.problem(element, f"{place}: {problem}", severity="warning")
        return {"body": body, "body_type": body_type}

    def __call__(self, ctx: Context) -> GatewayResponse | None:
        """The response to send."""
        headers = Headers()
        if content_type := self.content_type or self.body_type:
            headers.set("content-type", content_type)
        return GatewayResponse(self.status_code, headers, self.body)
