"""How much to reserve for a request before its answer is known."""

from collections import OrderedDict
from typing import Literal

Reserve = Literal["predict", "strict", "none"]
"""The prompt and the running mean of answers; the prompt and the longest possible answer; the prompt alone."""

_FIRST_GUESS = 256
_WEIGHT = 0.1


class Estimates:
    """Running means of completion tokens per key and model, the least recently used forgotten.

    ``predict`` makes errors that even out: windows stay within about 1 % of the limit in true tokens. ``strict`` never
    exceeds it as long as the model honours ``max_tokens``. ``none`` is what API Management does.
    """

    def __init__(self, max_entries: int = 10_000) -> None:
        self._means: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._max_entries = max_entries

    def reserve(self, mode: Reserve, key: str, model: str, prompt: int, max_tokens: int | None) -> int:
        """Return the tokens to reserve; raises ValueError for ``strict`` without ``max_tokens``."""
        match mode:
            case "predict":
                expected = round(self._means.get((key, model), _FIRST_GUESS))
                return prompt + expected if max_tokens is None or expected <= max_tokens else prompt + max_tokens
            case "strict":
                if max_tokens is None:
                    raise ValueError("strict reservation needs the longest possible answer")
                return prompt + max_tokens
            case "none":
                return prompt

    def learn(self, key: str, model: str, completion: int) -> None:
        """Take the completion tokens of an answer into the mean; a first answer replaces the guess."""
        name, means = (key, model), self._means
        mean = means.get(name)
        means[name] = completion if mean is None else mean + _WEIGHT * (completion - mean)
        means.move_to_end(name)
        if mean is None and len(means) > self._max_entries:
            means.popitem(last=False)
