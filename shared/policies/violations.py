"""What validation policies do about what does not conform: ignore it, detect it, prevent it."""

from dataclasses import dataclass
from typing import Literal

from shared.context import Context
from shared.errors import GatewayError
from shared.message import GatewayRequest

Action = Literal["ignore", "prevent", "detect"]

# What a caller reads where the text would tell of the inside.
NEUTRAL = "The request could not be processed due to an internal error. Contact the API owner."


@dataclass(frozen=True, slots=True)
class Violation:
    """One validation error, with APIM's words. `public` is what a caller may read of it in the answer to a request.
    https://learn.microsoft.com/azure/api-management/validate-content-policy (Validation errors)
    """

    name: str
    type: str
    rule: str
    details: str
    public: str = NEUTRAL


NO_DEFINITION = Violation("", "ApiSchema", "", "API's schema does not exist or it could not be resolved.")


class Violations:
    """What a policy finds in one message, in the order it finds it."""

    def __init__(self, ctx: Context, policy: str, variable: str | None) -> None:
        """`variable` gets a JArray of objects with Name, Type, ValidationRule, Details and Action."""
        self._ctx = ctx
        self._policy = policy
        self._variable = variable
        self._found: list[dict[str, str]] = []

    def add(self, violation: Violation, action: Action) -> None:
        """Act on a violation. One to prevent raises: 400 for a request, 502 for a response."""
        if action == "ignore":
            return
        error = {
            "Name": violation.name,
            "Type": violation.type,
            "ValidationRule": violation.rule,
            "Details": violation.details,
            "Action": action,
        }
        self._found.append(error)
        self._ctx.trace(error, self._policy, "error")
        if self._variable is not None:
            from shared.expressions.json_tokens import wrapped

            self._ctx.variables[self._variable] = wrapped(list(self._found))
        if action == "prevent":
            is_request = isinstance(self._ctx.message, GatewayRequest)
            raise GatewayError(
                violation.details,
                status=400 if is_request else 502,
                source=self._policy,
                reason="BadRequest" if is_request else "ResponseNotAllowed",
                answer=violation.public if is_request else NEUTRAL,
            )


def strictest(*actions: Action) -> Action:
    """The one of several actions that lets the least through."""
    return next((action for action in ("prevent", "detect") if action in actions), "ignore")
