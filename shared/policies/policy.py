"""What a policy is: a statement whose fields are the element's attributes and which can be called."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, field_validator

from shared.context import Context
from shared.policies.expression import refuse_expression
from shared.policies.nodes import Element
from shared.policies.run import Outcome, Place, Statements, Waiting

if TYPE_CHECKING:
    from shared.policies.compiler import Compiler
    from shared.policies.fused import Fusing

Section = Literal["inbound", "backend", "outbound", "on-error"]
Scope = Literal["global", "product", "api", "operation"]

# A field for policies inside a policy; they have been checked when they were compiled.
Nested = Annotated[Statements, SkipValidation]

EVERYWHERE: frozenset[Section] = frozenset({"inbound", "backend", "outbound", "on-error"})
ALL_SCOPES: frozenset[Scope] = frozenset({"global", "product", "api", "operation"})


class Markup(BaseModel):
    """An element of a policy document as a model: `some_name` is the attribute `some-name`, `from_` is `from`."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        alias_generator=lambda name: name.rstrip("_").replace("_", "-"),
    )


class Policy(Markup):
    """A policy at its place in a document.

    A subclass names its element, the sections and scopes it may stand in, whether it may stand there only `once` per
    section of a document (all by APIM's policy reference), whether it `runs_ahead` of checks and `locates` its errors
    (see Statement), declares its attributes as fields, reads child elements in `content`, and acts in `__call__`: it
    returns None to go on, a GatewayResponse to stop the pipeline, or raises a GatewayError to go to on-error. It is
    `async` where it waits for something; a plain one has at most one expression and asks for its value `now`, before it
    does anything. It keeps no state of its own.
    """

    element: ClassVar[str]
    sections: ClassVar[frozenset[Section]] = EVERYWHERE
    scopes: ClassVar[frozenset[Scope]] = ALL_SCOPES
    once: ClassVar[bool] = False
    locates: ClassVar[bool] = False
    runs_ahead: ClassVar[bool] = False

    place: Place = Field(alias="(place)", repr=False)
    policy_id: str = Field("", alias="id")

    @field_validator("*", mode="before")
    @classmethod
    def _no_stray_expression(cls, value: Any, info: Any) -> Any:
        from shared.policies.expression import Expression

        annotation = cls.model_fields[info.field_name].annotation
        return value if _takes(annotation, Expression) else refuse_expression(value)

    @classmethod
    def content(cls, element: Element, compiler: "Compiler") -> dict[str, Any]:
        """Fields that child elements and text give, by field name. A policy without content refuses any."""
        compiler.expect_no_content(element)
        return {}

    def __call__(self, ctx: Context) -> Outcome | Waiting:
        """Do what the policy does."""
        raise NotImplementedError

    def fuse(self, fusing: "Fusing") -> list[str] | None:
        """The same as lines of Python with `ctx`, for policies that are in most documents and do little (see `fused`).
        Lines that give an outcome put it in `outcome`, and set `within` while other policies run. None: it is called.
        """
        return None


def _takes(annotation: Any, wanted: type) -> bool:
    from typing import get_args, get_origin

    return (
        annotation is wanted
        or get_origin(annotation) is wanted
        or any(_takes(argument, wanted) for argument in get_args(annotation))
    )
