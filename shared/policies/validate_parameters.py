"""validate-parameters: checks headers, query and path parameters against the definition of the operation."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from pydantic import Field, SkipValidation

from shared.context import Context
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Markup, Policy, Section
from shared.policies.specified import HEADERS, PATH, QUERY, UNCOUNTED, Actions, Override, Specified, by_name, overrides
from shared.policies.violations import NO_DEFINITION, Action, Violations, strictest


class PathActions(Markup):
    """What is done about path parameters, in place of what the policy says."""

    specified_parameter_action: Expression[Action] | None = None
    parameters: tuple[Override, ...] = Field((), alias="(parameters)")


class NamedActions(PathActions):
    """The same for headers, or for query parameters."""

    unspecified_parameter_action: Expression[Action] | None = None


GROUPS: dict[str, type[PathActions]] = {"headers": NamedActions, "query": NamedActions, "path": PathActions}


@dataclass(frozen=True, slots=True)
class Parameters:
    """The specified parameters of an operation."""

    headers: Specified
    query: Specified
    path: Specified


class ValidateParameters(Policy):
    """Headers are checked first, then the query, then the path; the first error to prevent ends the request with 400.

    A parameter has to be there when it is required, once unless its schema is an array, written as its schema says, and
    conform to it. Unspecified headers are those the caller sent, but for such as frame every message and those that
    proxies add, unless a `parameter` names them; the subscription key is no parameter. Without an OpenAPI document
    every request has an error ApiSchema, and the strictest action holds.
    https://learn.microsoft.com/azure/api-management/validate-parameters-policy
    """

    element: ClassVar[str] = "validate-parameters"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound"})
    once: ClassVar[bool] = True

    specified_parameter_action: Expression[Action]
    unspecified_parameter_action: Expression[Action]
    errors_variable_name: str | None = None
    groups: dict[str, PathActions] = Field(default_factory=dict, alias="(groups)")
    parameters: SkipValidation[Parameters | None] = Field(None, alias="(parameters)", repr=False)

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The overrides by kind, and the operation's parameters, their schemas compiled."""
        compiler.expect_no_text(element)
        groups: dict[str, PathActions] = {}
        for child in compiler.children(element, *GROUPS):
            listed = [compiler.model(one, Override) for one in compiler.children(child, "parameter")]
            named = tuple(one for one in listed if one is not None)
            if child.name in groups:
                compiler.problem(child, f"{child.name} is there twice")
            elif (group := compiler.model(child, GROUPS[child.name], **{"(parameters)": named})) is not None:
                groups[child.name] = group
        return {"groups": groups, "parameters": _parameters(element, compiler)}

    async def __call__(self, ctx: Context) -> None:
        """Check the request's parameters."""
        violations = Violations(ctx, self.element, self.errors_variable_name)
        headers, query, path = [await self._actions(ctx, kind) for kind in GROUPS]
        if self.parameters is None:
            actions = (headers, query, path)
            violations.add(
                NO_DEFINITION, strictest(*(one.specified for one in actions), *(one.unspecified for one in actions))
            )
            return
        api, operation = ctx.api, ctx.operation
        assert api is not None and operation is not None
        keys = (api.subscription_key.header.lower(), api.subscription_key.query.lower(), "ocp-apim-subscription-key")
        url = ctx.request.url
        self.parameters.headers.check(by_name(ctx.request.headers), headers, violations, UNCOUNTED.union(keys))
        self.parameters.query.check(url.query() if url.query_text else {}, query, violations, keys)
        matched = ctx.request.matched_parameters
        in_path = {name: [matched[name]] for name in names_in_path(operation.url_template) if name in matched}
        self.parameters.path.check(in_path, path, violations)

    async def _actions(self, ctx: Context, kind: str) -> Actions:
        group = self.groups.get(kind)
        specified, unspecified = self.specified_parameter_action, self.unspecified_parameter_action
        named: Mapping[str, Action] = {}
        if group is not None:
            specified = group.specified_parameter_action or specified
            if isinstance(group, NamedActions):
                unspecified = group.unspecified_parameter_action or unspecified
            named = await overrides(ctx, group.parameters)
        return Actions(await specified(ctx), await unspecified(ctx), named)


@lru_cache(maxsize=1024)
def names_in_path(template: str) -> tuple[str, ...]:
    """The names of the parameters in the path of a URL template."""
    return tuple(re.findall(r"\{\*?([^{}]+)\}", template.partition("?")[0]))


def _parameters(element: Element, compiler: Compiler) -> Parameters | None:
    found: Parameters | None = None
    for definition, operation in compiler.specified(element):  # several when the document is only checked
        values = [definition.value(parameter, "request") for parameter in operation.parameters]
        for value in values:
            if value.unread:
                text = f"{value.parameter.location} {value.parameter.name}: {value.unread}"
                compiler.problem(element, text, severity="warning")
        found = Parameters(
            Specified(HEADERS, [value for value in values if value.parameter.location == "header"]),
            Specified(QUERY, [value for value in values if value.parameter.location == "query"]),
            Specified(PATH, [value for value in values if value.parameter.location == "path"]),
        )
    return found
