"""The gateway's own answer where a backend is not asked: a response that policies can look at, and an error."""

import json

from shared.errors import BackendUnavailable
from shared.message import GatewayResponse, Headers


class NotAsked(GatewayResponse):
    """What `context.Response` is when no backend was asked. As in APIM it is both: policies of the backend section see
    a response (retry asks for its StatusReason), and when it is still there at the section's end it is the `error`."""

    __slots__ = ("error",)

    def __init__(self, error: BackendUnavailable) -> None:
        headers = Headers([(b"content-type", b"application/json")])
        for name, value in error.headers:
            headers.add(name, value)
        body = json.dumps({"statusCode": error.status, "message": error.answer}).encode()
        super().__init__(error.status, headers, body, status_reason=error.status_reason)
        self.error = error
