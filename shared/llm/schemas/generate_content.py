"""Gemini's generateContent, of the Gemini API and of Vertex AI: https://ai.google.dev/api/generate-content"""

import json
import re
from collections.abc import Mapping
from typing import Any

from shared.llm.schemas.schema import Body, Count, Schema, note_finish, text
from shared.llm.tokens_gemini import gemini_tokens
from shared.llm.usage import Facts, Usage, gemini_usage, number, part

_COLON = re.compile(":|%3a", re.IGNORECASE)


class GenerateContent(Schema):
    """The path names model and method (`models/gemini-2.5-flash:streamGenerateContent`), not the body.

    A stream is events with `alt=sse`, else the same documents in one JSON array. Each tells the usage so far.
    """

    name = "generate content"
    paths = (":generateContent", ":streamGenerateContent")
    usage_member = b'"usageMetadata"'
    model_member = "modelVersion"

    path_tells = True

    def asked_by(self, path: str) -> tuple[str, bool]:
        """The last part of the model's name, as the path has it; another method streams."""
        model = _COLON.split(path.rpartition("/")[2], maxsplit=1)[0]
        return model, path.rstrip("/").lower().endswith("streamgeneratecontent")

    def max_tokens(self, body: Body) -> int | None:
        """`maxOutputTokens`, thoughts included, holds for each candidate."""
        config = part(body, "generationConfig") or part(body, "generation_config")
        most = number(config.get("maxOutputTokens", config.get("max_output_tokens")))
        return most * max(1, number(config.get("candidateCount", config.get("candidate_count")))) or None

    def prompt_tokens(self, body: Body, model: str, count: Count) -> int:
        """System instruction, contents, tools, media."""
        return gemini_tokens(body, count)

    def usage(self, document: Any) -> Usage | None:
        """The usage of a document, or the last one told in an array of them."""
        usage = None
        for one in _documents(document):
            usage = gemini_usage(one.get("usageMetadata")) or usage
        return usage

    def note(self, document: Any, facts: Facts) -> None:
        """Note usage, model, id and finish reasons of a document, an event, or an array of documents."""
        facts.usage = self.usage(document) or facts.usage
        for one in _documents(document):
            facts.model = text(one.get("modelVersion")) or facts.model
            facts.id = text(one.get("responseId")) or facts.id
            for candidate in _objects(one.get("candidates")):
                note_finish(candidate.get("finishReason"), facts)

    def text(self, document: Any) -> str:
        """What the candidates say: texts, thoughts, calls, code."""
        return "".join(
            _said(said)
            for one in _documents(document)
            for candidate in _objects(one.get("candidates"))
            for said in _objects(part(candidate, "content").get("parts"))
        )


def _documents(document: Any) -> list[Mapping[str, Any]]:
    return _objects(document if isinstance(document, list) else [document])


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _said(said: Mapping[str, Any]) -> str:
    called = part(said, "functionCall")
    arguments = json.dumps(called["args"]) if called.get("args") else ""
    return (
        text(said.get("text")) + text(called.get("name")) + arguments + text(part(said, "executableCode").get("code"))
    )


GENERATE_CONTENT = GenerateContent()
