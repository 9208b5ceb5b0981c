"""Which texts a content check has found clean lately, so that a growing conversation does not pay for its history."""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable


class CleanTexts:
    """Hashes only, under a key that this process alone has: what was said cannot be told from them."""

    def __init__(self, monotonic: Callable[[], float], most: int = 20_000) -> None:
        """At most `most` texts are remembered (about 150 bytes each); the oldest go first."""
        self._monotonic = monotonic
        self._most = most
        self._secret = os.urandom(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def key(self, rules: bytes, text: str) -> bytes:
        """What a text is remembered by. `rules` tells how it was checked: it is clean by those and no others."""
        hashed = hashlib.blake2b(len(rules).to_bytes(4, "big") + rules, key=self._secret, digest_size=16)
        hashed.update(text.encode("utf-8", "surrogatepass"))
        return hashed.digest()

    def has(self, key: bytes) -> bool:
        """Whether the text was found clean and the time for which that holds has not passed."""
        until = self._until.get(key)
        return until is not None and self._monotonic() < until

    def add(self, key: bytes, seconds: float) -> None:
        """Remember a clean text for so long."""
        self._until[key] = self._monotonic() + seconds
        self._until.move_to_end(key)
        if len(self._until) > self._most:
            self._until.popitem(last=False)
