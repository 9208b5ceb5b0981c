"""Compiles the elements of a policy document into policies, and collects everything that is wrong with them."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import TypeAdapter, ValidationError

from shared.config.models import Gateway
from shared.config.named_values import NamedValues
from shared.errors import Problem
from shared.policies.document import DocumentErrors, Element, read_document, split_value
from shared.policies.expression import Dynamic, Expression
from shared.policies.extent import Expression as ExpressionText
from shared.policies.fused import Fused
from shared.policies.nodes import Text
from shared.policies.policy import Markup, Policy, Scope, Section
from shared.policies.run import Place, Statements
from shared.policies.sections import Sections

if TYPE_CHECKING:
    from shared.config.certificates import ClientCertificate
    from shared.config.definition import OperationDefinition
    from shared.config.responses import DocumentResponses, Responses
    from shared.expressions import Compiled
    from shared.llm.prices import PriceTable
    from shared.policies.definition import Definition

SECTIONS: tuple[Section, ...] = get_args(Section)
M = TypeVar("M", bound=Markup)
P = TypeVar("P", bound=Policy)


class Compiler:
    """Compiles documents of one configuration. Problems are collected, never raised: look at `problems` at the end.

    What a policy's `content` may ask for: `statements` (nested policies), `value` (text that may be an expression),
    `model` (a child element as a Markup), `part` (a child element that is a policy), `known` (an attribute that can be
    checked at load), `problem`, the configuration in `gateway`, the `certificates` and `schemas` it declares, `prices`,
    the `section`, and the `responses` of `operations` and what is `specified` of them: those (API and id) the document
    is compiled for, one, or when it is checked all it may run for.
    """

    def __init__(
        self,
        gateway: Gateway,
        named_values: NamedValues,
        policies: Mapping[str, type[Policy]],
        refused: Mapping[str, str],
        fragments: Mapping[str, tuple[str, bytes]],
        *,
        certificates: "Mapping[str, ClientCertificate] | None" = None,
        schemas: Mapping[str, Any] | None = None,
        responses: "Mapping[str, DocumentResponses] | None" = None,
        definitions: "Mapping[str, Definition] | None" = None,
    ) -> None:
        """`refused` maps elements that exist in APIM but not here to the reason; `fragments` ids to (file, text)."""
        self.gateway = gateway
        self.certificates = certificates or {}
        self.schemas = schemas or {}
        self.operations: Sequence[tuple[str, str]] = ()
        self._responses = responses or {}
        self._definitions = definitions or {}
        self.named_values = named_values
        self.problems: list[Problem] = []
        self._policies = policies
        self._refused = refused
        self._fragments = fragments
        self._fragment_roots: dict[str, Element | None] = {}
        self._compiled: dict[tuple[str, bool], Compiled] = {}
        self._file = ""
        self._scope: Scope = "global"
        self._section: Section = "inbound"
        self._base: Statements = ()
        self._fragment = ""
        self._paths: dict[int, str] = {}
        self._seen: set[str] = set()

    @cached_property
    def prices(self) -> "PriceTable":
        """What models cost; made for the first policy that asks."""
        from shared.llm.price_list import PRICE_LIST
        from shared.llm.prices import PriceTable

        return PriceTable(self.gateway.prices, PRICE_LIST)

    def responses(self) -> "Iterator[tuple[str, Responses]]":
        """What OpenAPI documents say of the operations that are compiled for, each with the place it is said at."""
        for api, operation in self.operations:
            found = self._responses[api].of(operation) if api in self._responses else None
            if found is not None:
                yield f"{self.gateway.apis[api].openapi}, operation {operation}", found

    def specified(self, element: Element, *, needed: bool = True) -> "Iterator[tuple[Definition, OperationDefinition]]":
        """What the API's definition specifies of each operation that is compiled for. Where it is needed, a warning
        tells that there is none, and what of it cannot be used."""
        warnings: dict[str, None] = {}
        used: dict[str, Definition] = {}
        for api, operation in self.operations:
            definition = self._definitions.get(api)
            found = definition.of(operation) if definition is not None else None
            if definition is None:
                warnings[f"API {api} has no OpenAPI document, so none of its calls conforms"] = None
                continue
            used[f"{self.gateway.apis[api].openapi}"] = definition
            if found is not None:
                yield definition, found
            elif not definition.unread:
                file = self.gateway.apis[api].openapi
                warnings[f"{file} has no operation {operation}, so no call of it conforms"] = None
        for file, definition in used.items():
            warnings |= {f"{file}: {problem}": None for problem in definition.problems}
        for warning in warnings if needed else ():
            self.problem(element, warning, severity="warning")

    @property
    def section(self) -> Section:
        """The section that is being compiled."""
        return self._section

    # documents

    def read(self, text: str | bytes, file: str, root: str) -> Element | None:
        """The tree of a document whose root must be `root`, or None with the problems noted."""
        try:
            element = read_document(text, file)
        except DocumentErrors as errors:
            self.problems.extend(errors.problems)
            return None
        if element.name != root:
            self._file = file
            self.problem(element, f"the root element must be {root}, not {element.name}")
            return None
        self._number(element)
        return element

    def compile(self, root: Element, file: str, scope: Scope, parent: Sections) -> Sections:
        """The sections of a document, with `parent` in the place of each base element."""
        self._file, self._scope = file, scope
        found: dict[str, Statements] = {}
        for element in root.elements():
            if element.name not in SECTIONS:
                self.problem(element, f"no section {element.name}{_suggest(element.name, SECTIONS)}")
            elif element.name in found:
                self.problem(element, f"section {element.name} is there twice")
            else:
                section: Section = element.name
                self._section = section
                self._seen.clear()
                self._base = getattr(parent, section.replace("-", "_"))
                found[section] = self.statements(element)
        self.expect_no_text(root)
        return Sections(*(found.get(section, ()) for section in SECTIONS))

    # for the policies' own `content`

    def statements(self, element: Element, *, skip: Sequence[str] = ()) -> Statements:
        """The policies inside an element, in document order; children named in `skip` are the caller's own."""
        self.expect_no_text(element)
        statements: list[Any] = []
        for child in element.elements():
            if child.name in skip:
                continue
            if child.name == "base":
                self.attributes(child)
                self.expect_no_content(child)
                if self._fragment:
                    self.problem(child, "base cannot stand in a fragment")
                statements.extend(self._base)
            elif child.name == "include-fragment":
                statements.extend(self._included(child))
            elif (policy := self._policy(child)) is not None:
                statements.append(policy)
        return Fused(statements)

    def part(self, element: Element, kind: type[P]) -> P | None:
        """A policy that is part of another one, such as set-header in send-request, or None with the problems noted.
        Rules about sections do not hold for it."""
        content = {_alias(kind, name): value for name, value in kind.content(element, self).items()}
        place = Place(
            kind.element,
            self._scope,
            self._section,
            self._paths[id(element)],
            element.get("id") or "",
            self._file,
            element.line,
        )
        return self.model(element, kind, **content, **{"(place)": place})

    def value(self, element: Element, type_: Any = str, *, raw: bool = False) -> Expression[Any]:
        """What an element's text says, as a value of `type_` or an expression that gives one. `raw` keeps the text as
        it stands, nested markup included; otherwise it is trimmed."""
        # A named value may hold an expression: it is put in place before the text is looked at.
        text = self.substitute(element.inner_text() if raw else element.text(), element)
        split = split_value(text, element.text_line)
        if isinstance(split, ExpressionText):
            compiled = self._expression(split, element)
            return TypeAdapter(Expression[type_]).validate_python(Dynamic(compiled)) if compiled else Expression(None)
        try:
            literal = split.text if raw else split.text.strip()
            result: Expression[Any] = TypeAdapter(Expression[type_]).validate_python(literal)
            return result
        except ValidationError as error:
            self.problem(element, _plain(error.errors()[0]["msg"]))
            return Expression(None)

    def values(self, element: Element, name: str) -> tuple[Expression[Any], ...]:
        """What the children of that name say, each nothing but text; children of other names are noted as problems."""
        children = self.children(element, name)
        for child in children:
            self.attributes(child)
            for inner in child.elements():
                self.problem(inner, f"{name} has no child element {inner.name}")
        return tuple(self.value(child) for child in children)

    def model(self, element: Element, model: type[M], **fields: Any) -> M | None:
        """A child element as a model of its attributes (and `fields`, by alias), or None with the problems noted."""
        values = {attribute.name: self._attribute(element, attribute.name) for attribute in element.attributes}
        try:
            return model.model_validate(values | fields)
        except ValidationError as error:
            self._note(element, model, error)
            return None

    def problem(self, element: Element, message: str, *, attribute: str | None = None, severity: str = "error") -> None:
        """Note what is wrong with an element, or with one of its attributes."""
        found = element.attribute(attribute) if attribute else None
        line = found.line if found is not None else element.line
        self.problems.append(Problem(self._file, line, element.path, message, severity))

    def known(self, element: Element, attribute: str) -> str | None:
        """An attribute's value with named values in place; None when there is none, it is an expression, or has a
        named value that is known only where the gateway runs."""
        text = element.get(attribute)
        if text is None or self.named_values.is_open(text):
            return None
        text = self.named_values.substitute(text, lambda name: None)
        return None if isinstance(split_value(text, 0), ExpressionText) else text

    def expect_no_content(self, element: Element) -> None:
        """Note child elements and text of a policy that has none."""
        for child in element.elements():
            self.problem(child, f"{element.name} has no child element {child.name}")
        self.expect_no_text(element)

    def attributes(self, element: Element, *names: str) -> dict[str, str]:
        """The literal attributes of a child element that has no model; others than `names` are noted as problems."""
        for attribute in element.attributes:
            if attribute.name not in names:
                near = _suggest(attribute.name, names)
                self.problem(element, f"unknown attribute {attribute.name}{near}", attribute=attribute.name)
        found = {a.name: a.value for a in element.attributes if a.name in names}
        return {name: self.substitute(value, element, attribute=name) for name, value in found.items()}

    def expect_no_text(self, element: Element) -> None:
        """Note text where only elements may stand."""
        for child in element.children:
            if isinstance(child, Text) and child.value.strip():
                text = " ".join(child.value.split())[:40]
                self.problem(element, f"unexpected text: {text}")
                return

    def children(self, element: Element, *names: str) -> list[Element]:
        """The child elements, in order; those of other names are noted as problems and left out."""
        known = []
        for child in element.elements():
            if child.name in names:
                known.append(child)
            else:
                self.problem(child, f"unknown element {child.name} in {element.name}{_suggest(child.name, names)}")
        return known

    def substitute(self, text: str, element: Element, *, attribute: str | None = None) -> str:
        """`text` with `{{named values}}` in place."""

        def missing(name: str) -> None:
            near = _suggest(name, list(self.gateway.named_values))
            self.problem(element, f"named value {name} is not declared{near}", attribute=attribute)

        return self.named_values.substitute(text, missing)

    # inside

    def _number(self, root: Element) -> None:
        """Note what `LastError.Path` says of each element, such as choose[1]/when[2]: counted among its namesakes from
        1, relative to its section or fragment. The elements live as long as their documents, so their ids hold."""
        tops = [root] if root.name == "fragment" else list(root.elements())
        waiting = [(top, "") for top in tops]
        while waiting:
            parent, path = waiting.pop()
            counts: dict[str, int] = {}
            for child in parent.elements():
                counts[child.name] = number = counts.get(child.name, 0) + 1
                self._paths[id(child)] = own = f"{path}{child.name}[{number}]"
                waiting.append((child, f"{own}/"))

    def _included(self, element: Element) -> Statements:
        id = self.attributes(element, "fragment-id", "id").get("fragment-id")
        self.expect_no_content(element)
        if id is None:
            self.problem(element, "fragment-id is required")
            return ()
        if self._fragment:
            self.problem(element, f"fragment {self._fragment} cannot include another fragment")
            return ()
        if id not in self._fragments:
            self.problem(element, f"no fragment {id}{_suggest(id, list(self._fragments))}", attribute="fragment-id")
            return ()
        file, text = self._fragments[id]
        if id not in self._fragment_roots:
            self._fragment_roots[id] = self.read(text, file, "fragment")
        root = self._fragment_roots[id]
        if root is None:
            return ()
        outer, self._file, self._fragment = self._file, file, id
        try:
            return self.statements(root)
        finally:
            self._file, self._fragment = outer, ""

    def _policy(self, element: Element) -> Policy | None:
        kind = self._policies.get(element.name)
        if kind is None:
            if element.name in self._refused:
                self.problem(element, f"{element.name} is not supported: {self._refused[element.name]}")
            else:
                self.problem(element, f"unknown policy {element.name}{_suggest(element.name, list(self._policies))}")
            return None
        if self._section not in kind.sections:
            allowed = ", ".join(section for section in SECTIONS if section in kind.sections)
            self.problem(element, f"{element.name} is not allowed in {self._section} (only in {allowed})")
        if self._scope not in kind.scopes:
            allowed = ", ".join(sorted(kind.scopes))
            self.problem(element, f"{element.name} is not allowed at {self._scope} scope (only at {allowed})")
        if kind.once and element.name in self._seen:
            self.problem(element, f"{element.name} can be used only once in {self._section}")
        self._seen.add(element.name)
        return self.part(element, kind)

    def _attribute(self, element: Element, name: str) -> Any:
        attribute = element.attribute(name)
        assert attribute is not None
        split = split_value(self.substitute(attribute.value, element, attribute=name), attribute.value_line)
        if isinstance(split, ExpressionText):
            compiled = self._expression(split, element)
            return Dynamic(compiled) if compiled is not None else Expression(None)
        return split.text

    def _expression(self, text: ExpressionText, element: Element) -> "Compiled | None":
        from shared.expressions import ExpressionErrors, compile_expression

        key = (text.source, text.kind == "block")
        if key not in self._compiled:
            try:
                self._compiled[key] = compile_expression(text.source, block=key[1], file=self._file, line=text.line)
            except ExpressionErrors as errors:
                for problem in errors.problems:
                    self.problems.append(Problem(self._file, problem.line, element.path, problem.message))
                return None
        return self._compiled[key]

    def _note(self, element: Element, model: type[Markup], error: ValidationError) -> None:
        for item in error.errors(include_url=False, include_input=False):
            name = str(item["loc"][0]) if item["loc"] else ""
            concerned = [attribute for attribute in element.attributes if attribute.name == name or not name]
            if any(self.named_values.is_open(attribute.value) for attribute in concerned):
                continue  # checked where the value is known
            known = [_alias(model, field) for field in model.model_fields]
            attributes = [alias for alias in known if not alias.startswith("(")]
            match item["type"]:
                case "extra_forbidden":
                    message = f"unknown attribute {name}{_suggest(name, attributes)}"
                case "missing":
                    message = f"attribute {name} is required"
                case _:
                    message = _plain(item["msg"])
                    if name in attributes and element.attribute(name) is not None:
                        message = f"attribute {name}: {message}"
            self.problem(element, message, attribute=name)


def _alias(model: type[Markup], field: str) -> str:
    alias = model.model_fields[field].alias
    return alias if alias is not None else field.replace("_", "-")


def _suggest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f", did you mean {near[0]}?" if near else ""


def _plain(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
