"""The policies there are, one file each. To add one: write the file, add its class here."""

from shared.policies.forward_request import ForwardRequest
from shared.policies.policy import Policy

POLICIES: tuple[type[Policy], ...] = (ForwardRequest,)

# Policies of APIM that cannot run here, and why.
REFUSED: dict[str, str] = {
    "get-authorization-context": "it needs APIM's credential manager; give the backend credentials of its own instead",
}
