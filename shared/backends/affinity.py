"""Session affinity: a cookie that keeps a client on the pool's member it began with."""

import hashlib

from shared.context import Context


class Affinity:
    """The cookie of one pool. Its value does not tell the member's name.

    https://learn.microsoft.com/azure/api-management/backends#session-awareness
    """

    def __init__(self, cookie: str, pool: str, members: list[str]) -> None:
        self._cookie = cookie
        self._values = {id: hashlib.sha256(f"{pool}\n{id}".encode()).hexdigest()[:16] for id in members}
        self._members = {value: id for id, value in self._values.items()}

    def member(self, ctx: Context) -> str | None:
        """The member the caller's cookie names, if any."""
        for header in ctx.request.headers.get_all("cookie"):
            for pair in header.split(";"):
                name, _, value = pair.strip().partition("=")
                if name == self._cookie:
                    return self._members.get(value.strip('"'))
        return None

    def keep(self, ctx: Context, member: str) -> None:
        """Answer the caller with the cookie of this member, unless the caller has it. A later call for the same request
        takes its place."""
        if self.member(ctx) == member and Affinity not in ctx.notes:
            return
        first = Affinity not in ctx.notes
        secure = "; Secure" if ctx.request.original_url.scheme == "https" else ""
        ctx.notes[Affinity] = f"{self._cookie}={self._values[member]}; Path=/; HttpOnly; SameSite=Lax{secure}"
        if first:
            ctx.on_reply(_set_cookie)


async def _set_cookie(ctx: Context) -> None:
    if ctx.response is not None:
        ctx.response.headers.add("set-cookie", ctx.notes[Affinity])
