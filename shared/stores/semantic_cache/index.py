"""Finds the nearest vector: sign bits say which are near, signed bytes say how near. Pure; numpy only."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.stores.semantic_cache.entry import Vector

# Among 1,000,000 real sentences the nearest by cosine was always among the 16 nearest by sign bits.
RERANKED = 96
_OUT_OF_REACH = np.uint16(0xFFFF)


class Index:
    """Vectors of one size, each with an expiry (seconds since 1970) and a scope (63 bits): only vectors of the asked
    scope are found. Positions count up from 0 in order of `add`."""

    def __init__(self, dimensions: int, capacity: int = 64) -> None:
        self.dimensions = dimensions
        self.count = 0
        words = -(-dimensions // 64)
        self._bits = np.zeros((words, capacity), np.uint64)
        self._bytes = np.zeros((capacity, dimensions), np.int8)
        self._scales = np.zeros(capacity, np.float32)
        self._expires = np.zeros(capacity, np.float64)
        self._scopes = np.zeros(capacity, np.int64)

    @property
    def nbytes(self) -> int:
        """Memory in use."""
        arrays = (self._bits, self._bytes, self._scales, self._expires, self._scopes)
        return sum(array.nbytes for array in arrays)

    def add(self, quantized: bytes, expires: float, scope: int) -> int:
        """Add a vector as `entry.quantized` gives it, and return its position. ValueError for another size."""
        if len(quantized) != self.dimensions + 4:
            raise ValueError(f"not a vector of {self.dimensions} dimensions")
        if self.count == len(self._scales):
            self._resize(2 * self.count)
        at = self.count
        values = np.frombuffer(quantized, np.int8, self.dimensions, 4)
        self._bytes[at] = values
        self._scales[at] = np.frombuffer(quantized, "<f4", 1)[0]
        self._bits[:, at] = self._signs(values)
        self._expires[at] = expires
        self._scopes[at] = scope
        self.count = at + 1
        return at

    def remove(self, position: int) -> None:
        """Never find this one again; its place stays taken until `keep`."""
        self._expires[position] = -1

    def keep(self, positions: list[int]) -> None:
        """Only these remain, renumbered in the order given."""
        chosen = np.array(positions, np.int64)
        self._bits = np.ascontiguousarray(self._bits[:, chosen])
        self._bytes, self._scales = self._bytes[chosen], self._scales[chosen]
        self._expires, self._scopes = self._expires[chosen], self._scopes[chosen]
        self.count = len(positions)
        self._resize(max(64, self.count))

    def nearest(self, vector: Vector, scope: int, now: float) -> tuple[int, float] | None:
        """Position and cosine of the nearest living vector of the scope to a vector of length 1; None when there is
        none."""
        return self.search(vector, scope, now)()

    def search(self, vector: Vector, scope: int, now: float) -> Callable[[], tuple[int, float] | None]:
        """`nearest` to be run later, on a thread if need be: it sees the vectors that are there now."""
        count, bits = self.count, self._bits
        values, scales, scopes, expires = self._bytes, self._scales, self._scopes[:count], self._expires[:count]

        def run() -> tuple[int, float] | None:
            if not count or len(vector) != self.dimensions:
                return None
            allowed = (scopes == scope) & (expires > now)
            some: NDArray[Any] = np.flatnonzero(allowed)
            if len(some) > RERANKED:
                some = self._closest(bits, vector, allowed)
            if not len(some):
                return None
            cosines = (values[some].astype(np.float32) @ vector) * scales[some]
            best = int(cosines.argmax())
            return int(some[best]), float(cosines[best])

        return run

    def _closest(self, bits: NDArray[np.uint64], vector: Vector, allowed: NDArray[np.bool_]) -> NDArray[Any]:
        count = len(allowed)
        distances = np.zeros(count, np.uint16)
        for word, signs in enumerate(self._signs(vector)):
            distances += np.bitwise_count(bits[word, :count] ^ signs)
        distances[~allowed] = _OUT_OF_REACH
        return np.argpartition(distances, RERANKED)[:RERANKED]

    def _signs(self, values: NDArray[Any]) -> NDArray[np.uint64]:
        packed = np.zeros(-(-self.dimensions // 64) * 8, np.uint8)
        signs = np.packbits(values > 0)
        packed[: len(signs)] = signs
        return packed.view(np.uint64)

    def _resize(self, capacity: int) -> None:
        def grown(array: NDArray[Any], axis: int = 0) -> NDArray[Any]:
            shape = list(array.shape)
            shape[axis] = max(0, capacity - array.shape[axis])
            return np.concatenate([array, np.zeros(shape, array.dtype)], axis)

        self._bits = grown(self._bits, 1)
        self._bytes, self._scales = grown(self._bytes), grown(self._scales)
        self._expires, self._scopes = grown(self._expires), grown(self._scopes)
