"""What came of one attempt at a backend: its answer, read as it passes."""

from collections.abc import AsyncIterator, Callable, Iterator

from shared.llm.answer import DocumentReader, Reader, StreamReader, decoder
from shared.llm.call import LlmCall
from shared.llm.usage import Usage
from shared.message import GatewayResponse
from shared.policies.tokenizers import Tokenizers

# A plain answer whose usage a policy wants before the answer leaves is read so far; a longer one passes first.
_READ_AHEAD = 1_048_576


class Attempt:
    """One attempt; the last one counts. Without a `reader` nothing can be read of its answer, or no model was asked
    (no `call`). `cached` tells that no backend was asked, `hide` that the event of a stream which only tells its usage
    is not for the caller."""

    __slots__ = ("cached", "call", "ended", "hide", "passed", "reader", "status", "whole")

    def __init__(self, call: LlmCall | None) -> None:
        self.call = call
        self.status = 0  # no answer has come
        self.reader: Reader | None = None
        self.ended = False
        self.whole = False  # the answer is a document and in memory
        self.passed = 0  # bytes of an answer nobody can read
        self.cached = False
        self.hide = False

    @property
    def model(self) -> str:
        """The model the answer names; empty when it names none, or cannot be read."""
        return self.reader.model if self.reader is not None else ""

    def read(self, response: GatewayResponse, tokenizers: Tokenizers, keep: int) -> None:
        """Read the answer as it passes; one that came at once is there already. Of a stream `keep` up to so many
        characters of its messages."""
        self.status = response.status_code
        call, body = self.call, response.body
        if call is None:
            return
        media = response.headers.content_type
        # Where a stream was asked for its media type may be written in capitals, or be missing; an error is no stream.
        unnamed = call.stream and self.status < 300 and b"json" not in media.lower()
        if unnamed or media.startswith(b"text/event-stream"):
            self.reader = reader = StreamReader(
                call.schema, hide=self.hide, count=tokenizers.count(call.model), keep=keep
            )
            if body is not None:
                self.ended = True
                response.body = reader.feed(body) + reader.end()
        elif body is not None:
            self.reader, self.whole = DocumentReader(call.schema, body), True
        else:
            self.reader = DocumentReader(call.schema)
        if body is None:
            self._watch(response)

    def told(self) -> Usage | None:
        """The usage the backend told, with what there is to read of its answer."""
        reader = self.reader
        if reader is None:
            return None
        if not self.ended:
            self.ended = True
            reader.end()
        return reader.usage

    async def read_ahead(self, response: GatewayResponse) -> bool:
        """Read a plain answer that is not long; False where there is none in memory then."""
        if not isinstance(self.reader, DocumentReader):
            return False
        if response.body is None and response.stream is not None:
            await _read_some(response)
        self.whole = response.body is not None
        return self.whole

    def _watch(self, response: GatewayResponse) -> None:
        assert response.stream is not None
        coding = response.headers.get("content-encoding")
        decode = decoder(coding) if coding and coding.lower() != "identity" else None
        if coding and coding.lower() != "identity" and decode is None:
            self.reader = None
        if self.hide:
            # Nothing can be left out of a compressed stream, so the caller gets it plain.
            changed = (b"content-length",) if decode is None else (b"content-length", b"content-encoding")
            response.headers.raw = [pair for pair in response.headers.raw if pair[0] not in changed]
        response.stream = self._passing(response.stream, decode)

    async def _passing(
        self, stream: AsyncIterator[bytes], decode: Callable[[bytes], Iterator[bytes]] | None
    ) -> AsyncIterator[bytes]:
        """The stream on its way to the caller, read by the reader."""
        reader, hide = self.reader, self.hide
        async for chunk in stream:
            if reader is None:
                out = chunk
                self.passed += len(chunk)
            elif decode is None:
                out = reader.feed(chunk)
            else:
                for piece in decode(chunk):
                    plain = reader.feed(piece)
                    if plain and hide:
                        yield plain
                out = b"" if hide else chunk
            if out:
                yield out
        if reader is not None and not self.ended:
            self.ended = True
            rest = reader.end()
            if rest:
                yield rest


async def _read_some(response: GatewayResponse) -> None:
    """Read a body that is not long; a long one stays a stream."""
    assert response.stream is not None
    stream, parts, size = response.stream, [], 0
    async for chunk in stream:
        parts.append(chunk)
        size += len(chunk)
        if size > _READ_AHEAD:
            response.stream = _joined(parts, stream)
            return
    response.stream = _joined(parts, None)
    await response.read()


async def _joined(parts: list[bytes], rest: AsyncIterator[bytes] | None) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    if rest is not None:
        async for chunk in rest:
            yield chunk
