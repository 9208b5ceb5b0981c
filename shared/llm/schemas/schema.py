"""What a wire schema knows: where it is spoken, what a request asks for, what an answer says."""

from collections.abc import Callable, Mapping
from typing import Any

from shared.llm.usage import Facts, Usage, number, openai_usage

Body = Mapping[str, Any]
Count = Callable[[str], int]
"""Tokens of a text."""


class Schema:
    """One wire schema; without state. Subclasses say what differs.

    `paths` are the last one or two segments of the paths it is spoken at, or the method after a colon in the last.
    `asks_for_usage` tells that a stream brings its usage only when the request has `stream_options.include_usage`.
    `path_tells` tells that model and stream are in the path, else they are the `model` and `stream` of the body.
    `counted` tells that a prompt can be counted, `says_text` that an answer costs what it says: vectors and pictures do
    not. `usage_member` and `model_member` are what an answer calls them.
    """

    name = ""
    paths: tuple[str, ...] = ()
    asks_for_usage = False
    path_tells = False
    counted = True
    says_text = True
    usage_member = b'"usage"'
    model_member = "model"

    def asked_by(self, path: str) -> tuple[str, bool]:
        """The model a request names, and whether it asks for a stream, of a schema whose path tells."""
        raise NotImplementedError

    def max_tokens(self, body: Body) -> int | None:
        """The most tokens the answer may have, all choices together; None when the request sets no bound."""
        return None

    def prompt_tokens(self, body: Body, model: str, count: Count) -> int:
        """Tokens of the prompt, counted with `count`."""
        return 0

    def usage(self, document: Any) -> Usage | None:
        """The usage a whole answer tells."""
        return openai_usage(document.get("usage")) if isinstance(document, dict) else None

    def note(self, document: Any, facts: Facts) -> None:
        """Note all that a whole answer tells: usage, model, why it ended."""
        if isinstance(document, dict):
            facts.usage = self.usage(document) or facts.usage
            note_model(document, facts)
            for choice in choices_in(document):
                note_finish(choice.get("finish_reason"), facts)

    def text(self, document: Any) -> str:
        """The text of a whole answer, all choices together, as the model wrote it."""
        return ""

    def tokens_by_size(self, size: int) -> int:
        """Tokens of so many bytes of an answer that cannot be read."""
        return (size + 3) // 4 if self.says_text else 0

    def note_event(self, document: Any, facts: Facts) -> None:
        """Note what an event of a stream tells."""
        self.note(document, facts)

    def text_of_event(self, document: Any) -> str:
        """The text an event of a stream adds."""
        return self.text(document)


def note_model(document: Mapping[str, Any], facts: Facts) -> None:
    """Note the model an answer names, and its id; Azure's first chunk has empty ones."""
    model, id = document.get("model"), document.get("id")
    if isinstance(model, str) and model:
        facts.model = model
    if isinstance(id, str) and id:
        facts.id = id


def note_finish(reason: object, facts: Facts) -> None:
    """Note why a choice ended."""
    if isinstance(reason, str):
        facts.finish_reasons.append(reason)


def smallest(body: Body, *names: str) -> int | None:
    """The smallest of the bounds a request sets under these names; None when it sets none."""
    smallest = None
    for name in names:
        value = body.get(name)
        if value is not None and (bound := number(value)) and (smallest is None or bound < smallest):
            smallest = bound
    return smallest


def choices_in(document: Any) -> list[Mapping[str, Any]]:
    """The choices of a document or a chunk; none where it has none."""
    choices = document.get("choices") if isinstance(document, dict) else None
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def choices_of(body: Body) -> int:
    """How many answers are asked for (`n`)."""
    return max(1, number(body.get("n")))


def text(value: object) -> str:
    """A text field, empty where it is none."""
    return value if isinstance(value, str) else ""
