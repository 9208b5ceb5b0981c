"""One check of content by Content Safety: what is asked, all at once, and what the answers mean."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from shared.backends.content_safety import Analysis, ContentSafety, SafetyRefused, SafetyUnavailable
from shared.backends.target import Target
from shared.context import Context
from shared.errors import GatewayError, Refusal, Unavailable
from shared.llm.inspected_content import Content, Text
from shared.llm.text_pieces import LONGEST, length, pieces
from shared.policies.run import Place, locate
from shared.stores.clean_texts import CleanTexts
from shared.telemetry.metrics import Metrics

log = logging.getLogger("gateway")

AT_ONCE = 32
"""Calls one check has under way: a prompt of 100,000 characters, shielded, is one round."""
SHIELDED_DOCUMENTS = 5
UNAVAILABLE = "x-content-safety"
MESSAGE = "Request failed content safety check."

Job = Callable[[], Awaitable[None]]

# How Azure OpenAI words severities (https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter).
_LEVELS = ("safe", "safe", "low", "low", "medium", "medium", "high", "high")
_NAMES = {"Hate": "hate", "SelfHarm": "self_harm", "Sexual": "sexual", "Violence": "violence"}


@dataclass(frozen=True, slots=True)
class Rules:
    """What is looked for in one request and its answer, and what happens then; see the policy's attributes."""

    target: Target
    thresholds: Mapping[str, int]
    output_type: str
    blocklists: tuple[str, ...]
    shield: bool
    images: Literal["analyze", "refuse", "ignore"]
    other_content: Literal["refuse", "ignore"]
    seconds: float
    remember: int
    on_error: Literal["block", "allow"]
    enforce: bool
    refusal_status: int

    def fingerprint(self, kind: str) -> bytes:
        """Names these rules for what is remembered under them."""
        return repr(
            (kind, self.target.info.url, sorted(self.thresholds.items()), self.output_type, sorted(self.blocklists))
        ).encode()


class ContentCheck:
    """Checks contents of one exchange by one set of rules. `direction` is "request" or "response".

    A call that ends without a GatewayError means: all of it was looked at and nothing found, or the rules let it pass
    (`on_error` allow, `enforce` false), which metrics, trace and log tell.
    """

    def __init__(self, ctx: Context, rules: Rules, place: Place, direction: str) -> None:
        self._ctx = ctx
        self._rules = rules
        self._place = place
        self._direction = direction
        self._safety = ctx.services.get(ContentSafety)
        self._clean = ctx.services.get(CleanTexts)

    async def __call__(self, content: Content, *, remember: bool = True) -> None:
        """Refusal for what must not pass, Unavailable when there is no verdict in time."""
        try:
            await self._check(content, self._rules.remember if remember else 0)
        except GatewayError as error:
            locate(error, self._place)
            if self._rules.enforce:
                raise
            log.warning("content safety, log only: request %s: %s", self._ctx.request_id, error.detail)

    async def _check(self, content: Content, remember: int) -> None:
        self._refuse_unseen(content)
        until = asyncio.get_running_loop().time() + self._rules.seconds
        jobs = list(self._jobs(content, remember, until))
        self._ctx.trace({"direction": self._direction, "texts": len(content.texts), "images": len(content.images),
                         "calls": len(jobs)}, self._place.element)  # fmt: skip
        try:
            async with asyncio.timeout_at(until):
                await all_of(jobs)
        except TimeoutError:
            self._unavailable(f"no verdict within {self._rules.seconds:g} s")

    def _refuse_unseen(self, content: Content) -> None:
        rules = self._rules
        if content.opaque and rules.other_content == "refuse":
            self._refuse("other_content", {"filtered": True, "details": content.opaque[0]})
        unseen = [image for image in content.images if image.elsewhere]
        if rules.images == "refuse" and content.images or rules.images == "analyze" and rules.thresholds and unseen:
            why = "images are not accepted" if rules.images == "refuse" else "an image that is not in the body"
            self._refuse("image", {"filtered": True, "details": why})

    def _jobs(self, content: Content, remember: int, until: float) -> Iterator[Job]:
        rules = self._rules
        if rules.thresholds or rules.blocklists:
            for piece, key in self._new("text", (text.text for text in content.texts), remember):
                yield self._job(self._text, piece, until, remembered=[key] if remember else [], seconds=remember)
        if rules.shield and self._direction == "request":
            yield from self._shields(content.texts, remember, until)
        if rules.images == "analyze" and rules.thresholds:
            for image in {image.base64 for image in content.images if image.base64}:
                yield self._job(self._image, image, until)

    def _new(self, kind: str, texts: Iterable[str], remember: int) -> list[tuple[str, bytes]]:
        """The pieces that must be looked at, each once: those not known as clean."""
        rules = self._rules.fingerprint(kind)
        found = dict.fromkeys(piece for text in texts if text and not text.isspace() for piece in pieces(text))
        keyed = ((piece, self._clean.key(rules, piece)) for piece in found)
        return [(piece, key) for piece, key in keyed if not (remember and self._clean.has(key))]

    def _shields(self, texts: Sequence[Text], remember: int, until: float) -> Iterator[Job]:
        prompts = self._new("prompt", (text.text for text in texts if text.voice == "user"), remember)
        documents = self._new("document", (text.text for text in texts if text.voice == "document"), remember)
        for prompt, batch in zip_longest(prompts, _batches(documents)):
            keys = [key for _, key in ([prompt] if prompt else []) + (batch or [])]
            asked = (prompt[0] if prompt else None, [document for document, _ in batch or []])
            yield self._job(self._shield, asked, until, remembered=keys if remember else [], seconds=remember)

    def _job(
        self,
        look: Callable[..., Awaitable[None]],
        what: object,
        until: float,
        *,
        remembered: Sequence[bytes] = (),
        seconds: int = 0,
    ) -> Job:
        async def job() -> None:
            try:
                await look(what, until)
            except SafetyUnavailable as error:
                self._unavailable(str(error))
                return
            for key in remembered:
                self._clean.add(key, seconds)

        return job

    async def _text(self, text: str, until: float) -> None:
        rules = self._rules
        found = await self._safety.analyze_text(
            rules.target,
            text,
            categories=list(rules.thresholds),
            output_type=rules.output_type,
            blocklists=rules.blocklists,
            until=until,
            ctx=self._ctx,
        )
        if found.blocklists:
            details = [{"filtered": True, "id": name} for name in dict.fromkeys(found.blocklists)]
            self._refuse("custom_blocklists", {"filtered": True, "details": details})
        self._judge(found)

    async def _image(self, image: str, until: float) -> None:
        try:
            categories = list(self._rules.thresholds)
            found = await self._safety.analyze_image(
                self._rules.target, image, categories=categories, until=until, ctx=self._ctx
            )
            self._judge(found)
        except SafetyRefused as error:
            self._refuse("image", {"filtered": True, "details": "an image that cannot be analysed"}, str(error))

    async def _shield(self, asked: tuple[str | None, list[str]], until: float) -> None:
        prompt, documents = asked
        by_user, by_document = await self._safety.shield(
            self._rules.target, prompt, documents, until=until, ctx=self._ctx
        )
        if by_user or by_document:
            self._refuse("jailbreak" if by_user else "indirect_attack", {"filtered": True, "detected": True})

    def _judge(self, found: Analysis) -> None:
        results = {
            _NAMES[name]: {
                "filtered": found.severities[name] >= threshold,
                "severity": _LEVELS[min(max(found.severities[name], 0), 7)],
                "severity_level": found.severities[name],
            }
            for name, threshold in self._rules.thresholds.items()
        }
        blocked = next((name for name, result in results.items() if result["filtered"]), None)
        if blocked is not None:
            self._refuse(blocked, results[blocked], results=results)

    def _refuse(
        self, category: str, result: object, detail: str = "", *, results: Mapping[str, object] | None = None
    ) -> None:
        """Refusal as APIM words it, with what Azure OpenAI's content filter tells in `innererror`."""
        self._count("Content Safety Violations", {"Category": category})
        self._ctx.trace({"blocked": category, "result": result, "detail": detail}, self._place.element, "error")
        raise Refusal(
            MESSAGE,
            status=self._rules.refusal_status,
            source=self._place.element,
            reason="ContentSafetyPolicyViolated",
            code="content_filter",
            detail=f"{self._direction}: {category} {result} {detail}".strip(),
            inner={"code": "ResponsibleAIPolicyViolation", "content_filter_result": results or {category: result}},
        )

    def _unavailable(self, detail: str) -> None:
        """Unavailable, or with `on-error="allow"` a note that something passed unchecked."""
        allowed = self._rules.on_error == "allow"
        self._count("Content Safety Unavailable", {"Outcome": "allowed" if allowed else "blocked"})
        self._ctx.trace({"unavailable": detail, "allowed": allowed}, self._place.element, "error")
        if not allowed:
            raise Unavailable(
                "Content safety could not be checked: the content safety service could not be reached or gave no "
                "verdict. Try again later.",
                source=self._place.element,
                reason="ContentSafetyUnavailable",
                code="content_safety_unavailable",
                detail=detail,
            )
        log.warning("content safety, unchecked: request %s: %s", self._ctx.request_id, detail)
        self._ctx.notes[Unchecked] = Unchecked()

    def _count(self, name: str, dimensions: Mapping[str, str]) -> None:
        api = self._ctx.api.id if self._ctx.api is not None else "N/A"
        metrics: Metrics = self._ctx.services.get(Metrics)  # type: ignore[type-abstract]
        metrics.emit(
            "API Management",
            name,
            1.0,
            {"API ID": api, "Direction": self._direction, "Enforced": str(self._rules.enforce).lower(), **dimensions},
        )


class Unchecked:
    """The note that something of this exchange passed without a verdict."""


def _batches(documents: Sequence[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    """Documents as many as one call takes: five, of together 10,000 characters."""
    batch: list[tuple[str, bytes]] = []
    size = 0
    for document in documents:
        units = length(document[0])
        if batch and (len(batch) == SHIELDED_DOCUMENTS or size + units > LONGEST):
            yield batch
            batch, size = [], 0
        batch.append(document)
        size += units
    if batch:
        yield batch


async def all_of(jobs: Sequence[Job], at_once: int = AT_ONCE) -> None:
    """Do all jobs, so many at once. The first failure ends the rest and is raised; none outlives the call. A refusal
    goes before other failures of the same moment."""
    if len(jobs) == 1:
        await jobs[0]()
        return
    waiting = iter(jobs)

    async def work() -> None:
        for job in waiting:
            await job()

    tasks = [asyncio.create_task(work()) for _ in range(min(at_once, len(jobs)))]
    if not tasks:
        return
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        failures = [error for task in done if (error := task.exception()) is not None]
        if failures:
            raise next((error for error in failures if isinstance(error, Refusal)), failures[0])
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
