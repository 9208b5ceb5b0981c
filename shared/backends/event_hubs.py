"""Messages on their way to event hubs: queued, batched, sent in the background with the gateway's identity."""

import asyncio
import json
import logging
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

from shared.backends.sender import Outgoing, Sender
from shared.config.models import Logger
from shared.context import TokenSource
from shared.errors import GatewayError

log = logging.getLogger("gateway")

RESOURCE = "https://eventhubs.azure.net"
# log-to-eventhub page: "A larger message will be automatically truncated to 200 KB".
LARGEST_MESSAGE = 200 * 1024
# One publication may have 256 KB on the basic tier (Event Hubs quotas); room is left for the JSON around the messages.
LARGEST_BATCH = 240 * 1024
MOST_IN_BATCH = 200
MOST_WAITING = 10_000
MOST_WAITING_BYTES = 33_554_432
ATTEMPTS = 4
SECONDS = 15.0


class Partition(NamedTuple):
    """Where in an event hub: a partition's number, a key that Event Hubs hashes, or neither."""

    id: str | None = None
    key: str | None = None


@dataclass(slots=True)
class _Queue:
    logger: Logger
    waiting: deque[tuple[Partition, str, int]]
    task: "asyncio.Task[None] | None" = None
    size: int = 0


class EventHubs:
    """Takes messages without waiting. What does not fit, or cannot be sent in four attempts, is dropped and counted."""

    def __init__(self, sender: Sender, tokens: TokenSource, *, retry_seconds: float = 1.0) -> None:
        """`retry_seconds` is the pause before the second attempt; it doubles with each."""
        self._sender = sender
        self.tokens = tokens
        self.retry_seconds = retry_seconds
        self._queues: dict[Logger, _Queue] = {}
        self.dropped = 0

    def send(self, logger: Logger, message: str, partition: Partition | None = None) -> None:
        """Queue a message; one over 200 KB is cut."""
        queue = self._queues.get(logger)
        if queue is None:
            queue = self._queues[logger] = _Queue(logger, deque())
        text, size = cut(message)
        if len(queue.waiting) >= MOST_WAITING or queue.size + size > MOST_WAITING_BYTES:
            self._drop(queue, 1, "the queue is full")
            return
        queue.waiting.append((partition or Partition(), text, size))
        queue.size += size
        if queue.task is None or queue.task.done():
            queue.task = asyncio.create_task(self._run(queue))

    async def aclose(self, seconds: float = 5.0) -> None:
        """Send what is waiting, for so long; the rest is dropped."""
        tasks = [queue.task for queue in self._queues.values() if queue.task is not None and queue.waiting]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        for queue in self._queues.values():
            if queue.task is not None:
                queue.task.cancel()
            if queue.waiting:
                self._drop(queue, len(queue.waiting), "the gateway stops")

    async def _run(self, queue: _Queue) -> None:
        """Send until nothing waits; the next message starts a new round."""
        while queue.waiting:
            partition, batch = _next_batch(queue)
            failure = await self._send(queue.logger, partition, batch)
            if failure:
                self._drop(queue, len(batch), failure)

    async def _send(self, logger: Logger, partition: Partition, batch: list[str]) -> str:
        """Send one batch; what went wrong in the end, or nothing."""
        pause, failure = self.retry_seconds, ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(pause)
                pause *= 2
            try:
                token = await self.tokens.token(RESOURCE, logger.client_id)
                answer = await self._sender.send(_publication(logger, partition, batch, token))
            except (GatewayError, ValueError) as error:
                failure = getattr(error, "detail", "") or str(error)
                continue
            if answer.status_code in (200, 201):
                return ""
            failure = f"status {answer.status_code}"
            if answer.status_code < 500 and answer.status_code not in (401, 408, 429):
                break
        return failure

    def _drop(self, queue: _Queue, count: int, reason: str) -> None:
        self.dropped += count
        log.warning("%d messages for event hub %s were dropped: %s", count, queue.logger.event_hub, reason)


def _next_batch(queue: _Queue) -> tuple[Partition, list[str]]:
    """The first messages that go to the same place and fit into one publication."""
    partition, _, _ = queue.waiting[0]
    batch: list[str] = []
    size = 0
    while queue.waiting and len(batch) < MOST_IN_BATCH:
        place, text, length = queue.waiting[0]
        if place != partition or (batch and size + length > LARGEST_BATCH):
            break
        queue.waiting.popleft()
        queue.size -= length
        size += length
        batch.append(text)
    return partition, batch


def _publication(logger: Logger, partition: Partition, batch: list[str], token: str) -> Outgoing:
    """A batch as Event Hubs takes it over HTTPS (Send batch events; Send partition event)."""
    properties = {"BrokerProperties": {"PartitionKey": partition.key}} if partition.key is not None else {}
    headers = [
        (b"authorization", b"Bearer " + token.encode()),
        (b"content-type", b"application/vnd.microsoft.servicebus.json"),
    ]
    place = f"/partitions/{quote(partition.id, safe='')}" if partition.id is not None else ""
    return Outgoing(
        "POST",
        f"{logger.endpoint}/{quote(logger.event_hub, safe='')}{place}/messages?timeout=60&api-version=2014-01",
        headers,
        json.dumps([{"Body": text, **properties} for text in batch], ensure_ascii=False).encode(),
        timeout=SECONDS,
        max_bytes=65_536,
    )


def cut(message: str) -> tuple[str, int]:
    """(the message, cut to 200 KB of UTF-8 at a whole character; its size)."""
    data = message.encode("utf-8", "replace")
    if len(data) <= LARGEST_MESSAGE:
        return data.decode(), len(data)
    text = data[:LARGEST_MESSAGE].decode("utf-8", "ignore")
    return text, LARGEST_MESSAGE
