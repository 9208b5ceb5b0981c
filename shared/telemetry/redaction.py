"""What must not leave the process: rules that replace it, bounded in time."""

from collections.abc import Callable, Iterable
from typing import Any

from shared.config.diagnostics import Redaction

SecondsLeft = Callable[[], float]


class Redactor:
    """Rules, compiled; they hold one after the other."""

    def __init__(self, rules: Iterable[Redaction]) -> None:
        self._rules: list[tuple[Any, str]] = []
        for rule in rules:
            import regex  # type: ignore[import-untyped]  # here, as few configurations have a rule

            self._rules.append((regex.compile(rule.pattern), rule.replacement))

    def __bool__(self) -> bool:
        return bool(self._rules)

    def within(self, left: SecondsLeft) -> Callable[[str], str]:
        """What redacts a text; it raises TimeoutError when no time is left, so that nothing passes half redacted."""

        def redact(text: str) -> str:
            for pattern, replacement in self._rules:
                text = pattern.sub(replacement, text, timeout=max(0.0, left()))
            return text

        return redact
