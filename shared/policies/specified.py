"""Checks the parameters of a request, or the headers of a response, against those that a definition specifies."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.context import Context
from shared.message import CREDENTIALS, FORWARDING, Headers
from shared.policies.content_schema import MissingDefinition
from shared.policies.expression import Expression
from shared.policies.policy import Markup
from shared.policies.violations import NEUTRAL, Action, Violation, Violations

if TYPE_CHECKING:
    from shared.policies.parameter_value import ParameterValue

# What frames a message or is in every one (RFC 9110 sections 6.1, 6.6 and 7.2), and what hops on the way add: it counts
# as unspecified only where a policy names it.
UNCOUNTED = {name.decode() for name in FORWARDING} | {
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "transfer-encoding",
}
# Their values are not repeated in what tells of an error.
SECRET = {name.decode() for name in CREDENTIALS} | {"cookie", "set-cookie"}


class Override(Markup):
    """The action for one name, whether it is specified or not."""

    name: str
    action: Expression[Action]


@dataclass(frozen=True, slots=True)
class Actions:
    """What is done about specified parameters and about others; `named` are the overrides, by name in lower case."""

    specified: Action
    unspecified: Action
    named: Mapping[str, Action] = field(default_factory=dict)

    def of(self, name: str, *, specified: bool) -> Action:
        """The action for a parameter."""
        return self.named.get(name.lower(), self.specified if specified else self.unspecified)


async def overrides(ctx: Context, listed: Iterable[Override]) -> dict[str, Action]:
    """The overrides' actions for this request; the first of a name holds."""
    found: dict[str, Action] = {}
    for one in listed:
        found.setdefault(one.name.lower(), await one.action(ctx))
    return found


def by_name(headers: Headers) -> dict[str, list[str]]:
    """The values of each header, a value per line it came on."""
    found: dict[str, list[str]] = {}
    for name, value in headers.items():
        found.setdefault(name, []).append(value)
    return found


@dataclass(frozen=True, slots=True)
class Kind:
    """What parameters are of one kind, in APIM's words: whose they are, the type of their errors, and what one is."""

    of: str
    type: str
    word: str


HEADERS = Kind("Request", "RequestHeader", "header")
RESPONSE_HEADERS = Kind("Response", "ResponseHeader", "header")
QUERY = Kind("Request", "QueryParameter", "query parameter")
PATH = Kind("Request", "PathParameter", "path parameter")


class Specified:
    """The specified parameters of one kind. Names are compared without regard to case, as API Management does."""

    def __init__(self, kind: Kind, values: Iterable["ParameterValue"]) -> None:
        self._kind = kind
        self._values = {value.parameter.name.lower(): value for value in values if not value.is_object}
        self._objects = [value for value in values if value.is_object]

    def check(
        self,
        given: Mapping[str, Sequence[str]],
        actions: Actions,
        violations: Violations,
        uncounted: Container[str] = (),
    ) -> None:
        """Check what a message has, by name with all its texts. Those in `uncounted` (in lower case) may be there."""
        objects: dict[ParameterValue, dict[str, Sequence[str]]] = {}
        present = set()
        for name, texts in given.items():
            lower = name.lower()
            present.add(lower)
            if (value := self._values.get(lower)) is not None:
                self._check_value(value, texts, actions, violations)
            elif (owned := self._owner(name)) is not None:
                owner, property_ = owned
                objects.setdefault(owner, {})[property_] = texts
            elif lower in actions.named or lower not in uncounted:
                text = f"Unspecified {self._kind.word} {name} is not allowed."
                violations.add(
                    Violation(name, self._kind.type, "Unspecified", text, text), actions.of(name, specified=False)
                )
        for owner, properties in objects.items():
            self._check_value(owner, properties, actions, violations)
        self._check_missing(present, objects, actions, violations, uncounted)

    def _owner(self, name: str) -> "tuple[ParameterValue, str] | None":
        """The object of which a query parameter is a property, and the property."""
        for value in self._objects:
            if (property_ := value.property_of(name)) is not None:
                return value, property_
        return None

    def _check_value(
        self,
        value: "ParameterValue",
        texts: Sequence[str] | dict[str, Sequence[str]],
        actions: Actions,
        violations: Violations,
    ) -> None:
        action = actions.of(value.parameter.name, specified=True)
        if action != "ignore" and (violation := self._violation(value, texts)) is not None:
            violations.add(violation, action)

    def _check_missing(
        self,
        present: set[str],
        objects: Mapping["ParameterValue", object],
        actions: Actions,
        violations: Violations,
        uncounted: Container[str],
    ) -> None:
        for value in (*self._values.values(), *self._objects):
            name = value.parameter.name
            if not value.parameter.required or name.lower() in present or value in objects or name.lower() in uncounted:
                continue
            text = f"{self._kind.of} does not contain the required {self._kind.word} {name}."
            violations.add(
                Violation(name, self._kind.type, "IncorrectMessage", text, text), actions.of(name, specified=True)
            )

    def _violation(self, value: "ParameterValue", texts: Sequence[str] | dict[str, Sequence[str]]) -> Violation | None:
        name = value.parameter.name
        wrong = _wrong(value, texts, f"{self._kind.word} {name}", self._kind.of)
        if wrong is None:
            return None
        why = f" {wrong.why}" if wrong.why and name.lower() not in SECRET else ""
        public = f"{wrong.public}{why}" if wrong.public else NEUTRAL
        return Violation(name, self._kind.type, wrong.rule, f"{wrong.details}{why}", public)


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with a parameter; `why` may repeat its value. Without `public` a caller reads nothing of it."""

    rule: str
    details: str
    why: str = ""
    public: str = ""


def _wrong(
    value: "ParameterValue", texts: Sequence[str] | dict[str, Sequence[str]], what: str, of: str
) -> Wrong | None:
    from shared.policies.parameter_style import ManyValues, Unreadable

    try:
        errors = value.object_errors(texts) if isinstance(texts, dict) else value.errors(texts)
    except ManyValues:
        text = f"{of} cannot contain multiple values for the {what}."
        return Wrong("IncorrectMessage", text, public=text)
    except Unreadable as error:
        details = f"Value of the {what} cannot be parsed according to the definition."
        public = f"Value of the {what} couldn't be parsed according to the definition."
        return Wrong("IncorrectMessage", details, f"{error}", public)
    except MissingDefinition as error:
        text = f"API's schema does not contain definition {error.definition}, which is associated with the {what}."
        return Wrong("MissingDefinition", text)
    except (ValueError, RecursionError) as error:
        return Wrong("ValidationError", f"{what[:1].upper()}{what[1:]} cannot be validated.", f"{error}")
    if not errors:
        return None
    details = f"Value of the {what} does not conform to the definition."
    public = f"The value of the {what} does not conform to the definition."
    return Wrong("IncorrectMessage", details, " ".join(errors), public)
