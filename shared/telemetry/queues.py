"""What waits to be sent: a queue between threads with a limit, which counts what it cannot take."""

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Queue(Generic[T]):
    """First in, first out. Every item has a weight (bytes, spans); the sum of what waits stays within `most`."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.weight = 0
        self.dropped = 0
        """Items that found the queue full, since the start."""
        self._items: deque[tuple[T, int]] = deque()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T, weight: int = 1) -> None:
        """Add an item; one that does not fit is dropped and counted. Never waits for room."""
        with self._lock:
            if self.weight + weight > self.most:
                self.dropped += 1
                return
            self.weight += weight
            self._items.append((item, weight))

    def take(self, most: int, weight: int) -> list[T]:
        """The first items, at most so many and so heavy, but one if there is any."""
        taken: list[T] = []
        total = 0
        with self._lock:
            while self._items and len(taken) < most:
                total += self._items[0][1]
                if taken and total > weight:
                    break
                item, its_weight = self._items.popleft()
                self.weight -= its_weight
                taken.append(item)
        return taken
