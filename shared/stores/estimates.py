"""How long the answers to a key and model are: what to reserve for a request before its answer is known."""

from collections import OrderedDict

from shared.stores.counter_entity import LONGEST_KEY

FIRST_GUESS = 256
"""Completion tokens to expect of a key and model that have no answer yet."""

_WEIGHT = 0.1


class Estimates(OrderedDict[tuple[str, str], float]):
    """Running means of completion tokens by key and model, the least recently used forgotten."""

    def __init__(self, max_entries: int = 10_000) -> None:
        super().__init__()
        self._max_entries = max_entries

    def learn(self, key: str, model: str, completion: int) -> None:
        """Take the completion tokens of an answer into the mean; a first answer replaces the guess. Keys of enormous
        length are not remembered."""
        if len(key) > LONGEST_KEY:
            return
        name = (key, model)
        mean = self.get(name)
        self[name] = completion if mean is None else mean + _WEIGHT * (completion - mean)
        self.move_to_end(name)
        if mean is None and len(self) > self._max_entries:
            self.popitem(last=False)
