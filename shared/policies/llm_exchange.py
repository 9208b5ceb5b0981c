"""One call to a model as policies share it: asks the backend for its usage, hides that from a caller who did not, and
tells it once at the end."""

import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from shared.backends.backends import Backends
from shared.backends.target import Target
from shared.context import BackendCaller, Completion, Context
from shared.llm.call import LlmCall, asking_for_usage, object_in, usage_can_be_asked
from shared.llm.schemas import schema_of
from shared.llm.schemas.any_json import ANY_JSON
from shared.llm.usage import Facts, Usage
from shared.message import BodyNotBuffered, GatewayRequest, GatewayResponse
from shared.policies.attempt import Attempt
from shared.policies.tokenizers import Tokenizers, counted

log = logging.getLogger("gateway")

Answered = Callable[[Usage | None], Awaitable[None]]
Settle = Callable[[Usage | None], None]

# Backends that said they do not know stream_options: remembered, so that each stream does not ask in vain.
_REFUSERS = 256


class Refusers(dict[str, None]):
    """Backends (by id or URL) that refuse `stream_options`."""

    def note(self, backend: str) -> None:
        """Remember one; the oldest is forgotten when there are many."""
        if len(self) >= _REFUSERS:
            del self[next(iter(self))]
        self[backend] = None


class LlmExchange:
    """The call of one request, made by the first policy that needs its usage: the request's Observer, and between it
    and its backends (a BackendCaller).

    A retry or a failover is another attempt, and only the last one counts. Usage is the backend's own; where it gives
    none, a tokenizer counts prompt and delivered text, marked estimated. It is None when no model was asked: a request
    that is no call to a model, one answered by a policy or a cache, and an attempt that failed without telling usage.
    Of an answer in a schema that is not known, only usage it tells itself is taken.
    """

    __slots__ = (
        "usage",
        "_attempt",
        "_backends",
        "_call",
        "_call_of",
        "_counts_cached",
        "_keep",
        "_on_answer",
        "_on_usage",
        "_path",
        "_prompt",
        "_request",
        "_services",
    )

    def __init__(self, ctx: Context) -> None:
        # Not the context itself: a ring of objects would wait for the garbage collector after each request.
        self._backends = ctx.backends
        self._request = ctx.request
        self._services = ctx.services
        self.usage: Usage | None = None
        self._counts_cached = False
        self._keep = 0
        self._attempt: Attempt | None = None
        self._call: LlmCall | None = None
        self._call_of: bytes | None = None
        self._path = ""
        self._prompt: int | None = None
        self._on_answer: tuple[Answered, ...] = ()
        self._on_usage: tuple[Settle, ...] | None = ()  # None: told

    @property
    def asked(self) -> LlmCall | None:
        """What the request asks for, if somebody has wanted to know."""
        return self._call

    @property
    def facts(self) -> Facts:
        """What the answer told besides its usage, as far as it has come."""
        reader = self._attempt.reader if self._attempt is not None else None
        return reader.facts if reader is not None else Facts()

    @property
    def attempt(self) -> Attempt | None:
        """The last attempt; None when no model was asked or none has answered."""
        return self._attempt

    @classmethod
    def of(cls, ctx: Context) -> "LlmExchange":
        """The exchange of a request; the first call makes it."""
        found: LlmExchange | None = ctx.observer  # type: ignore[assignment]  # there is no other
        if found is None:
            found = ctx.observer = ctx.backends = cls(ctx)
        return found

    @staticmethod
    def seen(ctx: Context) -> "LlmExchange | None":
        """The exchange of a request, if somebody has made it."""
        return ctx.observer  # type: ignore[return-value]

    def on_answer(self, callback: Answered) -> None:
        """Run `callback` after each attempt that brought an answer, before the policies that follow, with the usage if
        the answer is a plain one; None for a stream. Plain answers are read for it."""
        self._on_answer += (callback,)

    def on_usage(self, callback: Settle) -> None:
        """Run `callback` exactly once when the exchange has ended, with its usage."""
        if self._on_usage is None:
            raise RuntimeError("the exchange has ended")
        self._on_usage += (callback,)

    def count_cached(self) -> None:
        """Let an answer count that came from no backend: from a cache, or from a policy that speaks for a model."""
        self._counts_cached = True

    def costs_nothing(self, *, replies: bool) -> bool:
        """Whether it is known already that no usage will be told: the last attempt failed and said so, or, once the
        gateway `replies`, nobody was asked."""
        attempt = self._attempt
        if attempt is None:
            return replies and not self._counts_cached
        return attempt.whole and not 200 <= attempt.status < 300 and attempt.told() is None

    def keep_messages(self, most: int) -> None:
        """Let the readers of streams put the messages together, of up to `most` characters."""
        self._keep = most

    async def call(self) -> LlmCall | None:
        """What the request asks for, as its body stands now; None when it is no call to a model."""
        try:
            return self.call_now()
        except BodyNotBuffered:
            await self._request.read()
            return self.call_now()

    def call_now(self) -> LlmCall | None:
        """The same without waiting: BodyNotBuffered when the body has to be read first."""
        request = self._request
        body, path = request.body, request.url.path
        if body is not None and body is self._call_of and (path == self._path or self._speaks_as_before(path)):
            return self._call
        if request.method != "POST":
            return None
        if body is None and not _may_be_json(request):
            return None
        if body is None:
            raise BodyNotBuffered(request)
        self._call_of, self._path, self._prompt = body, path, None
        try:
            asked = object_in(body)
        except ValueError:
            # Of what only the backend may be able to read nothing is known, but where a model is asked it is a call.
            asked = None if schema_of(path, {}) is ANY_JSON else {}
        self._call = (
            LlmCall(path, body, asked, request.matched_parameters.get("deployment-id")) if asked is not None else None
        )
        return self._call

    def _speaks_as_before(self, path: str) -> bool:
        """Whether a call whose path was rewritten is still the same one."""
        call = self._call
        if call is None or call.schema.path_tells or schema_of(path, {}) is not call.schema:
            return False
        self._path = path
        return True

    async def prompt_tokens(self, *, wait: bool = False) -> int:
        """Tokens of the prompt by the tokenizer; `wait` until it is loaded, otherwise roughly until then."""
        call = await self.call()
        if call is None:
            return 0
        if self._prompt is None:
            tokenizers = self._services.get(Tokenizers)
            count = await tokenizers.exact(call.model) if wait else tokenizers.count(call.model)
            self._prompt = await counted(count, len(call.data), call.prompt_tokens)
        return self._prompt

    # the attempts

    def knows(self, id: str) -> bool:
        """Whether a backend of that id is declared."""
        return self.unobserved.knows(id)

    @property
    def unobserved(self) -> BackendCaller:
        """The backends themselves, for calls of a policy's own."""
        assert self._backends is not None
        return self._backends

    def url(self, ctx: Context) -> str:
        """The base URL of the backend chosen for the request. PolicyFailed when there is none."""
        return self.unobserved.url(ctx)

    def forward(self, ctx: Context, **options: Any) -> Coroutine[Any, Any, GatewayResponse]:
        """One attempt, as the backends make it; of a stream the usage is asked for. What came of an attempt before does
        not count."""
        request, call = ctx.request, self._call
        body = request.body
        if (
            body is None
            or body is not self._call_of
            or request.url.path != self._path
            or (call is not None and call.stream)
        ):
            return self._forward(ctx, options)
        self._begin(ctx, call)
        return self.unobserved.forward(ctx, **options)

    async def _forward(self, ctx: Context, options: dict[str, Any]) -> GatewayResponse:
        """The same where the body is still to be read, or changed."""
        call = await self.call()
        asked = _asked(ctx, call) if call is not None and call.stream else None
        attempt = self._begin(ctx, call)
        if asked is None:
            return await self.unobserved.forward(ctx, **options)
        request = ctx.request
        whole = request.body
        try:
            request.body, attempt.hide = asked, True
            response = await self.unobserved.forward(ctx, **options)
            if await _refuses(response):
                ctx.services.extras.setdefault(Refusers, Refusers()).note(_backend(ctx))
                ctx.trace("the backend does not know stream_options: asked again without", "usage")
                request.body, attempt.hide = whole, False
                response = await self.unobserved.forward(ctx, **options)
            return response
        finally:
            # Another attempt starts from what the caller sent.
            request.body = whole

    def _begin(self, ctx: Context, call: LlmCall | None) -> Attempt:
        attempt = self._attempt = Attempt(call)
        if call is not None:
            call.document = None
            headers = ctx.request.headers
            for name, _ in headers.raw:
                if name == b"accept-encoding":
                    # What is compressed could only be read by unpacking it on the way.
                    headers.replace(name, "identity")
                    break
        return attempt

    def answered(self, response: GatewayResponse) -> Coroutine[Any, Any, None] | None:
        """The attempt has brought an answer: it is read as it passes."""
        attempt = self._attempt
        if attempt is None:
            return None
        attempt.read(response, self._services.get(Tokenizers), self._keep)
        return self._tell(attempt, response) if self._on_answer else None

    def failed(self) -> None:
        """The attempt has brought no answer."""
        self._attempt = None

    async def _tell(self, attempt: Attempt, response: GatewayResponse) -> None:
        """Tell those who want to know of an answer before it leaves."""
        usage = await self._usage_of(attempt) if await attempt.read_ahead(response) else None
        for callback in self._on_answer:
            await callback(usage)

    # the end

    async def _usage_of(self, attempt: Attempt) -> Usage | None:
        told = attempt.told()
        if told is not None:
            return told
        reader = attempt.reader
        if attempt.call is None or not attempt.call.schema.counted:
            return None
        if attempt.status and not 200 <= attempt.status < 300:
            return None
        if reader is None:
            schema = attempt.call.schema
            return Usage.estimate(max(1, await self.prompt_tokens()), schema.tokens_by_size(attempt.passed))
        count = self._services.get(Tokenizers).count(attempt.call.model)
        completion = await counted(count, reader.size, reader.text_tokens)
        if reader.begun is not None:
            return reader.begun.cut_off_at(completion)
        return Usage.estimate(max(1, await self.prompt_tokens()), completion)

    def before_reply(self, ctx: Context) -> Coroutine[Any, Any, None] | None:
        """Settle a plain answer that is there as a whole before the caller has it and may call again."""
        if self._attempt is not None:
            return self.complete() if self._attempt.whole else None
        return self._settle_cached(ctx.response) if self._counts_cached and ctx.response is not None else None

    def complete(self, completion: Completion | None = None) -> Coroutine[Any, Any, None] | None:
        """Settle with what there is to read of the answer, if that tells the usage."""
        if self._on_usage is None:
            return None
        attempt = self._attempt
        told = attempt.told() if attempt is not None else None
        if told is None and attempt is not None:
            return self._settle_estimated(attempt)
        self._settle(told)
        return None

    async def _settle_estimated(self, attempt: Attempt) -> None:
        self._settle(await self._usage_of(attempt))

    async def _settle_cached(self, response: GatewayResponse) -> None:
        attempt = self._attempt = Attempt(await self.call())
        attempt.cached = True
        attempt.read(response, self._services.get(Tokenizers), self._keep)
        if self._on_answer:
            await self._tell(attempt, response)
        if attempt.whole:
            self._settle(await self._usage_of(attempt))

    def _settle(self, usage: Usage | None) -> None:
        callbacks, self._on_usage, self._on_answer = self._on_usage, None, ()
        self.usage = usage
        for callback in callbacks or ():
            try:
                callback(usage)
            except Exception:  # a metric must not fail the answer, nor keep a limit from giving back what it reserved
                log.exception("telling the usage of a call failed")


def single_backend(ctx: Context, id: str) -> Target | None:
    """The declared backend of that id, for calls of a policy's own; None when there is none, or it is a pool."""
    backends = unobserved(ctx.backends)
    return backends.single(id) if isinstance(backends, Backends) else None


def unobserved(backends: BackendCaller | None) -> BackendCaller | None:
    """The backends without who looks on."""
    return backends.unobserved if isinstance(backends, LlmExchange) else backends


def _may_be_json(request: GatewayRequest) -> bool:
    """Whether a long body is worth reading. Not every backend goes by the media type: where models are asked, what it
    says is no reason to let a call pass uncounted."""
    media = request.headers.content_type
    return not media or b"json" in media.lower() or schema_of(request.url.path, {}) is not ANY_JSON


def _asked(ctx: Context, call: LlmCall) -> bytes | None:
    """The body of a stream with the usage asked for; None when it need not be, or is better not."""
    if ctx.request.body is None:
        return None
    azure = ctx.kind is not None and ctx.kind.name == "azure-openai"
    version = ctx.request.url.query().get("api-version", [""])[0] if azure else None
    if not usage_can_be_asked(call, version) or _backend(ctx) in ctx.services.extras.get(Refusers, ()):
        return None
    return asking_for_usage(call, ctx.request.body)


def _backend(ctx: Context) -> str:
    return ctx.backend_url or ctx.backend_id or (ctx.api.backend if ctx.api is not None else None) or ""


async def _refuses(response: GatewayResponse) -> bool:
    """Whether the answer is about a field the caller never sent."""
    return response.status_code in (400, 422) and b"stream_options" in await response.read()
