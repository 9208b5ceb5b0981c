"""One cached answer as the log tells of it, and its vector in a form that is small to keep."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    Vector = NDArray[float32]
else:
    Vector = Any


@dataclass(slots=True, eq=False)
class Entry:
    """`created` is milliseconds and `expires` seconds since 1970. `prompt` is the digest of the whole conversation,
    `scope` of all of it that must agree besides the question. `rows` and `size` are those of the payload (compressed
    bytes)."""

    id: str
    created: int
    expires: float
    prompt: str
    scope: int
    rows: int
    size: int


def quantized(vector: Vector) -> bytes:
    """A vector as one scale (float32) and a signed byte for each dimension; its length becomes 1."""
    import numpy as np

    length = float(np.linalg.norm(vector))
    if not length or not np.isfinite(length):
        return b""
    unit = vector / length
    scale = np.float32(np.abs(unit).max() / 127)
    packed: bytes = scale.astype("<f4").tobytes() + np.round(unit / scale).astype(np.int8).tobytes()
    return packed


def as_vector(data: bytes) -> Vector:
    """Little-endian float32s as a vector of length 1."""
    import numpy as np

    vector = np.frombuffer(data, "<f4").astype(np.float32)
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length else vector


def dimensions(quantized_vector: bytes) -> int:
    """How many dimensions a quantized vector has."""
    return max(0, len(quantized_vector) - 4)
