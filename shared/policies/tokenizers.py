"""The tokenizers of the process: loaded in the background when first wanted, a rough count until then."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable

from shared.llm.encodings import EncodingName, encoding_of, tokenizer
from shared.llm.tokens import Count, rough_count

log = logging.getLogger("gateway")

# Longer texts are counted on a thread, where tiktoken lets go of the interpreter; it takes about 40 ns a character.
_ON_THREAD = 16_384
# A conversation sends all it said before with each turn: what has been counted once is known by its hash.
_WORTH_KEEPING = 64
_KEPT = 16_384


class Tokenizers:
    """Counts by model. Loading one takes a few hundred milliseconds, so no request waits for it unless it asks to."""

    def __init__(self) -> None:
        self._counts: dict[EncodingName, Count] = {}
        self._loading: dict[EncodingName, asyncio.Task[None]] = {}

    def count(self, model: str) -> Count:
        """The best way to count there is now; begins to load the model's tokenizer when it is not there."""
        name = encoding_of(model)
        found = self._counts.get(name)
        if found is None:
            self._load(name)
            return rough_count
        return found

    async def exact(self, model: str) -> Count:
        """The model's own tokenizer, waiting until it is loaded; a rough count if it cannot be."""
        name = encoding_of(model)
        if name not in self._counts:
            await asyncio.shield(self._load(name))
        return self._counts.get(name, rough_count)

    def _load(self, name: EncodingName) -> "asyncio.Task[None]":
        if name not in self._loading:
            self._loading[name] = asyncio.create_task(self._read(name))
        return self._loading[name]

    async def _read(self, name: EncodingName) -> None:
        try:
            self._counts[name] = await asyncio.to_thread(_counter, name)
        except Exception:
            log.exception("tokenizer %s cannot be loaded; tokens are counted roughly", name)


def _counter(name: EncodingName) -> Count:
    from importlib.resources import files

    encoding = tokenizer(name, files("shared.llm.encodings").joinpath(f"{name}.xz").read_bytes())
    known: OrderedDict[tuple[int, int], int] = OrderedDict()

    def count(text: str) -> int:
        if len(text) < _WORTH_KEEPING:
            return len(encoding.encode_ordinary(text)) if text else 0
        key = (hash(text), len(text))  # keyed by a secret of the process, so nobody can make two texts collide
        tokens = known.get(key)
        if tokens is None:
            tokens = known[key] = len(encoding.encode_ordinary(text))
            if len(known) > _KEPT:
                known.popitem(last=False)
        return tokens

    return count


async def counted(count: Count, size: int, work: Callable[[Count], int]) -> int:
    """What `work` counts with `count`: at once when `size` (characters) is small, else on a thread."""
    return await asyncio.to_thread(work, count) if size > _ON_THREAD else work(count)
