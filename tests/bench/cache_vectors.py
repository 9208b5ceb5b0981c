"""Vectors shaped like those of real questions: few directions matter, topics gather, paraphrases are near."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

LATENT = 256
PER_TOPIC = 100


@dataclass
class Questions:
    """`count` questions in `dimensions`, made in parts so that many need not be in memory at once."""

    count: int
    dimensions: int
    seed: int = 1

    def parts(self, size: int = 10_000) -> Iterator[Vectors]:
        """All of them in order."""
        for number, at in enumerate(range(0, self.count, size)):
            yield self._part(number, min(size, self.count - at))

    def paraphrases(self, known: Vectors, near: tuple[float, float] = (0.75, 0.99)) -> Vectors:
        """Another question for each, at a cosine somewhere in `near`, off in the directions questions differ in."""
        chance = np.random.default_rng(self.seed + 1_000_000)
        off = self._lifted(chance.standard_normal((len(known), LATENT)), chance)
        off -= known * np.sum(off * known, axis=1, keepdims=True)
        off /= np.linalg.norm(off, axis=1, keepdims=True)
        cosines = chance.uniform(*near, (len(known), 1)).astype(np.float32)
        return known * cosines + off * np.sqrt(1 - cosines**2)

    def _part(self, number: int, count: int) -> Vectors:
        chance = np.random.default_rng((self.seed, number))
        topics = chance.standard_normal((max(1, count // PER_TOPIC), LATENT))
        own = chance.standard_normal((count, LATENT))
        return self._lifted(0.7 * topics[chance.integers(0, len(topics), count)] + own, chance)

    def _lifted(self, latent: NDArray[np.float64], chance: np.random.Generator) -> Vectors:
        """Into all dimensions, the later latent directions weaker, with a little noise in each."""
        weights = 1 / np.sqrt(1 + np.arange(LATENT) / 16)
        basis = np.random.default_rng((self.seed, self.dimensions, 7)).standard_normal((LATENT, self.dimensions))
        lifted = (latent * weights).astype(np.float32) @ basis.astype(np.float32)
        lifted /= np.linalg.norm(lifted, axis=1, keepdims=True)
        lifted += chance.standard_normal(lifted.shape).astype(np.float32) * np.float32(0.1 / self.dimensions**0.5)
        lifted /= np.linalg.norm(lifted, axis=1, keepdims=True)
        return lifted
