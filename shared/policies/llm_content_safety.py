"""llm-content-safety: lets nothing through that Azure AI Content Safety finds harmful."""

import asyncio
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from shared.backends.target import Target
from shared.body import PACKED, is_sprawling_json, unpacked
from shared.context import Context
from shared.errors import BackendError, PolicyFailed, Refusal
from shared.llm.inspected_content import Content, Text, answer_content, event_content, request_content, together
from shared.llm.sse import Events, data_of
from shared.message import GatewayRequest, GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.content_check import UNAVAILABLE, ContentCheck, Rules, Unchecked
from shared.policies.expression import Expression
from shared.policies.held_stream import HeldStream
from shared.policies.llm_exchange import single_backend
from shared.policies.nodes import Element
from shared.policies.policy import Markup, Policy, Scope, Section

Name = Literal["Hate", "SelfHarm", "Sexual", "Violence"]
Threshold = Annotated[int, Field(ge=0, le=7)]
OutputType = Literal["FourSeverityLevels", "EightSeverityLevels"]
Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]

# From this size on a body is taken apart on another thread.
LARGE = 262_144
DEFAULT_OVERLAP = 200


class Category(Markup):
    """A category, and the severity from which on it blocks."""

    name: Expression[Name]
    threshold: Expression[Threshold]


class Categories(Markup):
    """How severities are given."""

    output_type: Expression[OutputType] = Field(default_factory=lambda: Expression("FourSeverityLevels"))


class LlmContentSafety(Policy):
    """Blocks requests and answers in which Content Safety finds a category at its threshold, an entry of a blocklist or
    an attack on the prompt (`shield-prompt`: user texts as prompts, tool results and documents as documents).

    Every text that reaches the model is inspected, whatever the body's shape: message by message, a long one in
    overlapping pieces, images as well; what no check can read is refused. In inbound the request is checked beside the
    policies that follow, as far as they let nothing out; no backend is called before the verdict. With
    `enforce-on-completions` the answer is checked before it leaves; in outbound, where that attribute means nothing (as
    in APIM), the answer is checked at that place. Answers other than 2xx are no completions and pass. A stream of
    events is held back in windows of `window-size` characters; `window-overlap-size` (default 200, at most half a
    window) are the characters before it that a window is checked with. A violation ends a stream with an error event
    of the caller's dialect. Violations: 403, LastError.Reason ContentSafetyPolicyViolated, and what APIM does not tell:
    `error.code` content_filter with category and severity in `error.innererror`.

    Where APIM and safety differ: several texts are not concatenated, texts of any length are checked, and an outage of
    the service answers 503 and says so.

    Attributes of our own: `on-error` (block, default; allow: it passes with the header `x-content-safety: unavailable`
    unless the head is out, and a metric), `mode` (enforce; log: nothing is blocked or held, findings are logged and
    counted), `refusal-status` (403, 400), `unchecked-characters` (of a stream that may be ahead of the check; 0),
    `images` (analyze: those in the body, others are refused; refuse; ignore), `other-content` (audio, files, token ids:
    refuse; ignore), `remember-clean` (seconds for which a text found clean is not checked again by the same rules;
    300, 0: never), `timeout-ms` (for a whole check, repeated calls included; 5000).
    https://learn.microsoft.com/azure/api-management/llm-content-safety-policy
    """

    element: ClassVar[str] = "llm-content-safety"
    sections: ClassVar[frozenset[Section]] = frozenset({"inbound", "outbound"})
    scopes: ClassVar[frozenset[Scope]] = frozenset({"global", "product", "api"})
    runs_ahead: ClassVar[bool] = True

    backend_id: Expression[str]
    shield_prompt: Expression[bool] = Field(default_factory=lambda: Expression(False))
    enforce_on_completions: Expression[bool] = Field(default_factory=lambda: Expression(False))
    window_size: Expression[Positive] = Field(default_factory=lambda: Expression(10_000))
    window_overlap_size: Expression[NotNegative] | None = None
    output_type: Expression[OutputType] = Field(
        default_factory=lambda: Expression("FourSeverityLevels"), alias="(output-type)"
    )
    categories: tuple[Category, ...] = Field((), alias="(categories)")
    blocklists: tuple[Expression[str], ...] = Field((), alias="(blocklists)")
    on_error: Expression[Literal["block", "allow"]] = Field(default_factory=lambda: Expression("block"))
    mode: Expression[Literal["enforce", "log"]] = Field(default_factory=lambda: Expression("enforce"))
    refusal_status: Literal["403", "400"] = "403"
    unchecked_characters: Expression[NotNegative] = Field(default_factory=lambda: Expression(0))
    images: Expression[Literal["analyze", "refuse", "ignore"]] = Field(default_factory=lambda: Expression("analyze"))
    other_content: Expression[Literal["refuse", "ignore"]] = Field(default_factory=lambda: Expression("refuse"))
    remember_clean: Expression[NotNegative] = Field(default_factory=lambda: Expression(300))
    timeout_ms: Expression[Positive] = Field(default_factory=lambda: Expression(5_000))

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """Categories and blocklists."""
        compiler.expect_no_text(element)
        found: dict[str, Any] = {}
        for child in compiler.children(element, "categories", "blocklists"):
            compiler.expect_no_text(child)
            if child.name == "blocklists":
                compiler.attributes(child)
                found["blocklists"] = tuple(compiler.value(id) for id in compiler.children(child, "id"))
                continue
            output = compiler.model(child, Categories)
            if output is not None:
                found["output_type"] = output.output_type
            items = [compiler.model(item, Category) for item in compiler.children(child, "category")]
            found["categories"] = tuple(item for item in items if item is not None)
        if not element.get("shield-prompt") and not found.get("categories") and not found.get("blocklists"):
            compiler.problem(
                element, "checks nothing: no categories, no blocklists, no shield-prompt", severity="warning"
            )
        _expect_backend(element, compiler)
        return found

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Check the request beside what follows, and see to it that the answer is checked; in outbound, check that."""
        rules = await self._rules(ctx)
        if ctx.section == "outbound":
            await self._check_answer(rules, ctx)
            return None
        if await self.enforce_on_completions(ctx):
            # What cannot be read while it streams would have to be held to its end.
            ctx.request.headers.set("accept-encoding", "identity")
            ctx.on_reply(partial(self._check_answer, rules))
        body = _plain(await ctx.request.read(), ctx.request)
        if is_sprawling_json(body):
            raise Refusal("Request body has too many JSON values.", status=413, reason="RequestTooLarge")
        content_type = ctx.request.headers.get("content-type") or ""
        content = await _taken_apart(request_content, body, content_type)
        check = self._check_request(ContentCheck(ctx, rules, self.place, "request"), content, ctx)
        if rules.enforce:
            ctx.verify(check)
        else:
            unheard = asyncio.create_task(check)
            ctx.on_completion(lambda _: unheard)
        return None

    async def _rules(self, ctx: Context) -> Rules:
        thresholds: dict[str, int] = {}
        for category in self.categories:
            name, threshold = await category.name(ctx), await category.threshold(ctx)
            thresholds[name] = min(threshold, thresholds.get(name, threshold))
        return Rules(
            target=_target(ctx, await self.backend_id(ctx)),
            thresholds=thresholds,
            output_type=await self.output_type(ctx),
            blocklists=tuple([await id(ctx) for id in self.blocklists]),
            shield=await self.shield_prompt(ctx),
            images=await self.images(ctx),
            other_content=await self.other_content(ctx),
            seconds=await self.timeout_ms(ctx) / 1000,
            remember=await self.remember_clean(ctx),
            on_error=await self.on_error(ctx),
            enforce=await self.mode(ctx) == "enforce",
            refusal_status=int(self.refusal_status),
        )

    async def _check_request(self, check: ContentCheck, content: Content, ctx: Context) -> None:
        await check(content)
        if Unchecked in ctx.notes:
            ctx.on_reply(_tell_unchecked)

    async def _check_answer(self, rules: Rules, ctx: Context) -> None:
        """Check a whole answer now; wrap a stream so that it is checked as it goes."""
        response = ctx.response
        if response is None or not 200 <= response.status_code < 300:
            return
        check = ContentCheck(ctx, rules, self.place, "response")
        if response.is_event_stream and "content-encoding" not in response.headers:
            assert response.stream is not None
            window = await self.window_size(ctx)
            overlap = await self.window_overlap_size(ctx) if self.window_overlap_size is not None else DEFAULT_OVERLAP
            held = HeldStream(
                response.stream,
                partial(check, remember=False),
                window=window,
                overlap=overlap if self.window_overlap_size is not None else min(overlap, window // 2),
                unchecked=await self.unchecked_characters(ctx) if rules.enforce else float("inf"),
            )
            ctx.on_completion(lambda _: held.stop())
            response.stream = held.released()
            return
        body = await response.read()
        content_type = response.headers.get("content-type") or ""
        read = _events_content if content_type.lower().startswith("text/event-stream") else answer_content
        await check(await _taken_apart(read, body, content_type))
        if Unchecked in ctx.notes:
            await _tell_unchecked(ctx)


def _expect_backend(element: Element, compiler: Compiler) -> None:
    """A literal id must be that of a declared backend, and not of a pool."""
    written = element.get("backend-id") or ""
    if compiler.named_values.is_open(written):
        return
    id = compiler.substitute(written, element, attribute="backend-id")
    if not id or id.lstrip().startswith("@"):
        return
    backend = compiler.gateway.backends.get(id)
    if backend is None:
        compiler.problem(element, f"no backend {id}", attribute="backend-id")
    elif backend.pool is not None:
        compiler.problem(element, f"backend {id} is a pool: Content Safety is one backend", attribute="backend-id")
    elif backend.circuit_breaker is not None:
        message = f"the circuit breaker of {id} has no part in content safety: see on-error"
        compiler.problem(element, message, attribute="backend-id", severity="warning")


def _target(ctx: Context, id: str) -> Target:
    target = single_backend(ctx, id)
    if target is None:
        raise PolicyFailed(reason="BackendNotFound", detail=f"no backend {id!r:.100}")
    return target


def _plain(body: bytes, request: GatewayRequest) -> bytes:
    """The body without its coding; as it came where it has none, or is not in the one it says."""
    coding = (request.headers.get("content-encoding") or "").strip().lower()
    if coding not in PACKED:
        return body
    try:
        return unpacked(body, coding, request.limit)
    except BackendError:
        return body


async def _taken_apart(read: Any, body: bytes, content_type: str) -> Content:
    if len(body) < LARGE:
        content: Content = read(body, content_type)
    else:
        content = await asyncio.to_thread(read, body, content_type)
    return content


def _events_content(body: bytes, content_type: str) -> Content:
    """What a whole stream of events says, for one that is in memory."""
    content = Content()
    said: dict[object, list[str]] = {}
    events = Events(len(body))
    for event in (*events.feed(body), events.end()):
        for path, text in event_content(data_of(event), content):
            said.setdefault(path, []).append(text)
    content.texts += [Text(text, "application") for text in together("".join(parts) for parts in said.values())]
    return content


async def _tell_unchecked(ctx: Context) -> None:
    if ctx.response is not None:
        ctx.response.headers.set(UNAVAILABLE, "unavailable")
