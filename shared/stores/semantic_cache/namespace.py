"""Who shares answers with whom: everything two requests must have in common, as one partition."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.llm.cacheable_prompt import length_prefixed


@dataclass(frozen=True)
class Namespace:
    """`parts` say what is common, in order; no two lists of parts have the same partition.

    `check` is a second digest, by another function: it stands in every row and is compared when the row is read, so
    that a row in the wrong partition is never served. `api` is a label for people.
    """

    parts: Sequence[str]
    api: str = ""
    partition: str = field(init=False)
    check: str = field(init=False)

    def __post_init__(self) -> None:
        data = length_prefixed(self.parts)
        object.__setattr__(self, "partition", hashlib.sha256(data).hexdigest()[:40])
        object.__setattr__(self, "check", hashlib.blake2b(data, digest_size=16).hexdigest())
