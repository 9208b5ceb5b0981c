"""The declared backends, and the choice of one for a request."""

from collections.abc import Mapping

from shared.backends.forward import forward
from shared.backends.target import Target, plain_target
from shared.backends.transport import Transport
from shared.context import Context
from shared.errors import PolicyFailed
from shared.message import GatewayResponse


class Backends:
    """Backends by id, called over one transport."""

    def __init__(self, targets: Mapping[str, Target], transport: Transport) -> None:
        self._targets = targets
        self._transport = transport

    def knows(self, id: str) -> bool:
        """Whether a backend of that id is declared."""
        return id in self._targets

    def choose(self, ctx: Context) -> Target:
        """What a policy chose, else the API's own backend. PolicyFailed when there is none."""
        if ctx.backend_url is not None:
            try:
                return plain_target(ctx.backend_url)
            except ValueError as error:
                raise PolicyFailed(
                    source="set-backend-service", reason="BackendUrlInvalid", detail=str(error)
                ) from error
        id = ctx.backend_id or (ctx.api.backend if ctx.api is not None else None)
        target = self._targets.get(id) if id is not None else None
        if target is None:
            detail = f"no backend {id}" if id else "the API has no backend and no policy chose one"
            raise PolicyFailed(source="forward-request", reason="BackendNotFound", detail=detail)
        return target

    def url(self, ctx: Context) -> str:
        """The base URL of the backend chosen for the request. PolicyFailed when there is none."""
        target = self.choose(ctx)
        return str(target.origin) + target.base_path

    async def forward(
        self,
        ctx: Context,
        *,
        header_timeout: float | None = None,
        continue_timeout: float | None = None,
        follow_redirects: bool = False,
    ) -> GatewayResponse:
        """One attempt at the backend chosen for the request; see `forward.forward`."""
        return await forward(
            ctx,
            self.choose(ctx),
            self._transport,
            header_timeout=header_timeout,
            continue_timeout=continue_timeout,
            follow_redirects=follow_redirects,
        )
