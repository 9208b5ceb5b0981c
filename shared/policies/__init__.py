"""The policies there are, one file each. To add one: write the file, add its class here."""

from shared.policies.choose import Choose
from shared.policies.forward_request import ForwardRequest
from shared.policies.policy import Policy
from shared.policies.set_header import SetHeader
from shared.policies.set_variable import SetVariable

POLICIES: tuple[type[Policy], ...] = (
    Choose,
    ForwardRequest,
    SetHeader,
    SetVariable,
)

# Policies of APIM that cannot run here, and why.
REFUSED: dict[str, str] = {
    "get-authorization-context": "it needs APIM's credential manager; give the backend credentials of its own instead",
}
