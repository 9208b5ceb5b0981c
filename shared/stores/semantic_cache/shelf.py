"""The entries of one namespace as an instance holds them: by exact prompt, and by meaning."""

import asyncio
from typing import TYPE_CHECKING

from shared.stores.semantic_cache.entry import Entry, Vector, dimensions
from shared.stores.semantic_cache.log import Told

if TYPE_CHECKING:
    from shared.stores.semantic_cache.index import Index

# Rough cost of an entry beside its vector: the object, its places in three containers.
ENTRY_BYTES = 600
# From so many bytes of vectors on a search takes milliseconds: it is made on a thread.
ON_THREAD = 50_000_000


class Shelf:
    """At most `most` entries, the oldest leave first. Entries are known by id, so reading one twice does no harm."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_id: dict[str, Entry] = {}
        self._by_prompt: dict[str, Entry] = {}
        self._indexed: list[Entry] = []
        self._index: Index | None = None

    def __len__(self) -> int:
        return len(self._by_id)

    @property
    def nbytes(self) -> int:
        """Memory in use, about."""
        return len(self._by_id) * ENTRY_BYTES + (self._index.nbytes if self._index is not None else 0)

    def add(self, told: Told, now: float) -> None:
        """Take an entry, unless it is known or over."""
        entry, vector = told
        if entry.id in self._by_id or entry.expires <= now:
            return
        if len(self._by_id) >= self._most:
            self._make_room(now)
        self._by_id[entry.id] = entry
        known = self._by_prompt.get(entry.prompt)
        if known is None or known.created <= entry.created:
            self._by_prompt[entry.prompt] = entry
        if vector:
            self._add_vector(entry, vector)

    def exact(self, prompt: str, now: float) -> Entry | None:
        """The newest living entry of the same conversation."""
        found = self._by_prompt.get(prompt)
        return found if found is not None and found.expires > now else None

    async def nearest(self, vector: Vector, scope: int, now: float) -> tuple[Entry, float] | None:
        """The living entry of the scope whose question is nearest, and the cosine."""
        index = self._index
        if index is None:
            return None
        indexed = self._indexed
        if index.count * index.dimensions > ON_THREAD:
            found = await asyncio.to_thread(index.search(vector, scope, now))
        else:
            found = index.nearest(vector, scope, now)
        return (indexed[found[0]], found[1]) if found is not None else None

    def remove(self, entry: Entry) -> None:
        """Forget an entry whose payload is gone."""
        if self._by_prompt.get(entry.prompt) is entry:
            del self._by_prompt[entry.prompt]
        # It stays known by its id, so that the log does not bring it back.
        entry.expires = 0.0
        if self._index is not None and entry in self._indexed:
            self._index.remove(self._indexed.index(entry))

    def _add_vector(self, entry: Entry, vector: bytes) -> None:
        if self._index is None:
            from shared.stores.semantic_cache.index import Index

            self._index = Index(dimensions(vector))
        if dimensions(vector) == self._index.dimensions:
            self._index.add(vector, entry.expires, entry.scope)
            self._indexed.append(entry)

    def _make_room(self, now: float) -> None:
        """Drop what is over, and of the rest the oldest tenth, so that not every entry pays for it."""
        living = sorted((one for one in self._by_id.values() if one.expires > now), key=lambda one: -one.created)
        kept = {one.id: one for one in living[: max(1, self._most * 9 // 10)]}
        self._by_id = kept
        self._by_prompt = {one.prompt: one for one in reversed(kept.values())}
        if self._index is not None:
            positions = [at for at, one in enumerate(self._indexed) if one.id in kept]
            self._index.keep(positions)
            self._indexed = [self._indexed[at] for at in positions]
