"""set-backend-service: chooses the backend of the request."""

from typing import Any, ClassVar

from pydantic import model_validator

from shared.backends.target import split_url
from shared.context import Context
from shared.errors import PolicyFailed
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.fused import Fusing
from shared.policies.nodes import Element
from shared.policies.policy import Policy, Section

WEBSOCKET = ("ws://", "wss://")


class SetBackendService(Policy):
    """`backend-id` names a declared backend or pool, `base-url` any http(s) URL without credentials.

    Once a backend has been chosen by its id, as in a document further out, only another id takes its place: a base-url
    after it changes nothing, as in APIM, and the trace says so. The attributes for Service Fabric are refused. A
    WebSocket URL loads with a warning, since an API of that type is not served here: a request that gets to it fails.
    https://learn.microsoft.com/azure/api-management/set-backend-service-policy
    """

    element: ClassVar[str] = "set-backend-service"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound", "backend"})

    base_url: Expression[str] | None = None
    backend_id: Expression[str] | None = None
    sf_resolve_condition: Expression[Any] | None = None
    sf_service_instance_name: Expression[Any] | None = None
    sf_partition_key: Expression[Any] | None = None
    sf_replica_type: Expression[Any] | None = None
    sf_listener_name: Expression[Any] | None = None

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """Nothing; but a literal id must be declared, and Service Fabric is not spoken here."""
        compiler.expect_no_content(element)
        for other in element.attributes:
            if other.name.startswith("sf-") and other.name.replace("-", "_") in cls.model_fields:
                compiler.problem(
                    element, f"{other.name}: Service Fabric backends are not supported", attribute=other.name
                )
        if (element.get("base-url") or "").strip().lower().startswith(WEBSOCKET):
            message = "WebSocket backends are not supported: a request that gets here fails"
            compiler.problem(element, message, attribute="base-url", severity="warning")
        attribute = element.attribute("backend-id")
        if attribute is not None and not compiler.named_values.is_open(attribute.value):
            id = compiler.substitute(attribute.value, element, attribute="backend-id")
            if not id.strip().startswith(("@(", "@{")) and id not in compiler.gateway.backends:
                compiler.problem(element, f"no backend {id}", attribute="backend-id")
        return {}

    @model_validator(mode="after")
    def _one_target(self) -> "SetBackendService":
        if (self.base_url is None) == (self.backend_id is None):
            raise ValueError("exactly one of base-url and backend-id is needed")
        literal = self.base_url.constant if self.base_url is not None and self.base_url.compiled is None else None
        if literal is not None and not literal.lower().startswith(WEBSOCKET):
            split_url(literal)
        return self

    def fuse(self, fusing: Fusing) -> list[str] | None:
        """The same, of an id."""
        if self.backend_id is None:
            return None
        known, id = fusing.name(self._known), fusing.value(self.backend_id)
        return [f"ctx.backend_id, ctx.backend_url = {known}(ctx, {id}), None"]

    @staticmethod
    def _known(ctx: Context, id: str) -> str:
        if ctx.backends is None or not ctx.backends.knows(id):
            raise PolicyFailed(reason="BackendNotFound", detail=f"no backend {id!r:.100}")
        return id

    def __call__(self, ctx: Context) -> None:
        """Choose. PolicyFailed for an id that is not declared or a URL that is none."""
        if self.backend_id is not None:
            id = self._known(ctx, self.backend_id.now(ctx))
            ctx.backend_id, ctx.backend_url = id, None
            if ctx.tracing:
                ctx.trace({"backend-id": id}, self.element)
        elif self.base_url is not None:
            url = self.base_url.now(ctx)
            if ctx.backend_id is not None:
                ctx.trace(f"backend {ctx.backend_id} stays: a base-url does not replace a backend-id", self.element)
                return
            try:
                split_url(url)
            except ValueError as error:  # the URL itself may have been made of the caller's words
                raise PolicyFailed(reason="BackendUrlInvalid", detail=str(error)) from error
            ctx.backend_url = url
            if ctx.tracing:
                ctx.trace({"base-url": url}, self.element)
