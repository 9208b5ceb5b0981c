"""A scripted Azure AI Content Safety: a real HTTP server on loopback that finds what its texts say is in them.

    with ContentSafetyService(key="k") as safety:
        safety.fault = Fault(status=429)               # from now on; safety.faults.append(...) for the next call
        ...                                            # call safety.url, or a gateway that does
        assert safety.texts() == ["Hello"]

What it finds: `violence=4`, `hate=2`, `selfharm=6`, `sexual=7` anywhere in a text, or plain words (kill, bomb, murder:
Violence 4; hate speech: Hate 4; suicide: SelfHarm 4; explicit sex: Sexual 4); four levels round down to 0, 2, 4, 6. An
attack is in "ignore (all) previous instructions", "jailbreak" and "developer mode". Images are read the same way after
their first bytes. Shapes follow the 2024-09-01 specification (https://learn.microsoft.com/rest/api/contentsafety) and
the recordings of azure-sdk-for-python. To run it: `python -m tests.support.content_safety`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import json
import re
import threading
import uuid
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.loopback import LoopbackServer

CATEGORIES = ("Hate", "SelfHarm", "Sexual", "Violence")
WORDS = (
    ("Violence", r"\b(kill|murder|bomb)"),
    ("Hate", r"hate speech"),
    ("SelfHarm", r"suicide"),
    ("Sexual", r"explicit sex"),
)
ATTACK = re.compile(r"ignore (all )?previous instructions|jailbreak|developer mode", re.I)
NAME = re.compile(r"[0-9A-Za-z._~-]{1,64}")
IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"II*\x00", b"MM\x00*")
LONGEST = 10_000
PREFIX = "/contentsafety/"


@dataclass(frozen=True)
class Fault:
    """How a call goes wrong. Times are seconds."""

    status: int = 200  # other than 200: an error with this status
    headers: Mapping[str, str] = field(default_factory=dict)  # more response headers, such as Retry-After
    delay: float = 0.0
    body: bytes | None = None  # these bytes instead of the answer
    hang_up: bool = False  # close without a word


@dataclass(frozen=True)
class Called:
    """One call as it arrived."""

    method: str
    operation: str  # the path below /contentsafety/
    headers: Mapping[str, str]  # names in lower case
    body: Any


Answer = tuple[int, Any]


class ContentSafetyService(LoopbackServer):
    """The server; start it with `with`, from a sync or an async test."""

    def __init__(self, *, port: int = 0, key: str | None = None, token: str | None = None, delay: float = 0.0) -> None:
        """A call must bring `key` or `token` where one is given; `delay` (seconds) is what every answer takes."""
        super().__init__(port, "content-safety")
        self.key = key
        self.token = token
        self.delay = delay
        self.fault = Fault()
        self.faults: deque[Fault] = deque()
        self.calls: list[Called] = []
        self.blocklists: dict[str, dict[str, str]] = {"fruit": {"1": "forbidden fruit"}}  # name to id to text
        self.connections = 0  # open now
        self.at_once = 0  # the most calls that were answered at the same time
        self._answering = 0

    def texts(self, operation: str = "text:analyze") -> list[str]:
        """The texts that were analysed so far, in order of arrival."""
        return [call.body["text"] for call in self.calls if call.operation == operation]

    async def listen(self) -> asyncio.Server:
        """A connection for each client; images are large."""
        return await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=16_777_216)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # a client may leave as it likes
        except asyncio.CancelledError:
            return  # the server ends; up to Python 3.11 a cancelled connection task is reported as an error
        finally:
            self.connections -= 1
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        raw = await reader.readexactly(int(headers.get("content-length") or 0))
        fault = self.faults.popleft() if self.faults else self.fault
        self._answering += 1
        self.at_once = max(self.at_once, self._answering)
        try:
            status, body = self._answer(method, target, headers, raw)
            await pause(reader, self.delay + fault.delay)
        finally:
            self._answering -= 1
        if fault.hang_up:
            return False
        if fault.status != 200:
            status, body = error(fault.status, str(fault.status), "The service was told to fail.")
        content = fault.body if fault.body is not None else b"" if body is None else json.dumps(body).encode()
        sent = {
            "content-type": "application/json; charset=utf-8",
            "content-length": str(len(content)),
            "apim-request-id": str(uuid.uuid4()),
            "x-ms-region": "East US",
            **({"x-ms-error-code": body["error"]["code"]} if status >= 400 else {}),
            **fault.headers,
        }
        lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in sent.items())]
        writer.write("\r\n".join([*lines, "\r\n"]).encode("latin-1") + content)
        await writer.drain()
        return True

    def _answer(self, method: str, target: str, headers: Mapping[str, str], raw: bytes) -> Answer:
        url = urlsplit(target)
        path = unquote(url.path)
        if not path.startswith(PREFIX) or not parse_qs(url.query).get("api-version"):
            return error(404, "404", "Resource not found")
        operation = path.removeprefix(PREFIX)
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            body = None
        self.calls.append(Called(method, operation, headers, body))
        if not self._knows(headers):
            return error(401, "401", "Access denied due to invalid subscription key or wrong API endpoint.")
        if operation.startswith("text/blocklists"):
            return self._lists(method, operation.removeprefix("text/blocklists").lstrip("/"), body)
        if method != "POST" or not isinstance(body, dict):
            return error(400, "InvalidRequestBody", "The request body is invalid.")
        match operation:
            case "text:analyze":
                return self._analyze_text(body)
            case "image:analyze":
                return analyze_image(body)
            case "text:shieldPrompt":
                return shield_prompt(body)
        return error(404, "404", "Resource not found")

    def _knows(self, headers: Mapping[str, str]) -> bool:
        if self.key is None and self.token is None:
            return True
        by_key = self.key is not None and headers.get("ocp-apim-subscription-key") == self.key
        return by_key or (self.token is not None and headers.get("authorization") == f"Bearer {self.token}")

    def _analyze_text(self, body: Mapping[str, Any]) -> Answer:
        """https://learn.microsoft.com/rest/api/contentsafety/text-operations/analyze-text"""
        text, output = body.get("text"), body.get("outputType") or "FourSeverityLevels"
        wanted = body.get("categories") or CATEGORIES
        if not isinstance(text, str) or not text:
            return invalid("text is required.")
        if units(text) > LONGEST:
            return invalid(f"Length of text must be less than or equal to {LONGEST}.")
        if output not in ("FourSeverityLevels", "EightSeverityLevels") or any(
            name not in CATEGORIES for name in wanted
        ):
            return invalid("outputType or categories.")
        hits = []
        for name in body.get("blocklistNames") or []:
            if name not in self.blocklists:
                return error(404, "NotFound", f"Blocklist '{name}' is not found.")
            hits += [
                {"blocklistName": name, "blocklistItemId": id, "blocklistItemText": item}
                for id, item in self.blocklists[name].items()
                if item.lower() in text.lower()
            ]
        halted = bool(hits) and body.get("haltOnBlocklistHit") is True
        found = [] if halted else severities(text, wanted, eight=output == "EightSeverityLevels")
        return 200, {"blocklistsMatch": hits, "categoriesAnalysis": found}

    def _lists(self, method: str, rest: str, body: Any) -> Answer:
        """https://learn.microsoft.com/rest/api/contentsafety/text-blocklists"""
        name, _, tail = rest.partition("/")
        name, _, action = name.partition(":")
        items = self.blocklists.get(name)
        if not name:
            return 200, {"value": [{"blocklistName": one} for one in sorted(self.blocklists)]}
        if method == "PATCH" and NAME.fullmatch(name):
            self.blocklists.setdefault(name, {})
            return (201 if items is None else 200), {"blocklistName": name, **(body or {})}
        if items is None:
            return error(404, "NotFound", f"Blocklist '{name}' is not found.")
        match method, action, tail:
            case "DELETE", "", "":
                del self.blocklists[name]
                return 204, None
            case "POST", "addOrUpdateBlocklistItems", "":
                added = {str(uuid.uuid4()): str(item["text"]) for item in body["blocklistItems"]}
                items.update(added)
                return 200, {"blocklistItems": [{"blocklistItemId": id, "text": text} for id, text in added.items()]}
            case "POST", "removeBlocklistItems", "":
                for id in body["blocklistItemIds"]:
                    items.pop(id, None)
                return 204, None
            case "GET", "", "blocklistItems":
                return 200, {"value": [{"blocklistItemId": id, "text": text} for id, text in items.items()]}
            case "GET", "", "":
                return 200, {"blocklistName": name}
        return error(404, "NotFound", "Resource not found")


async def pause(reader: asyncio.StreamReader, seconds: float) -> None:
    """Wait; ConnectionError as soon as the client has left."""
    while seconds > 0:
        await asyncio.sleep(min(seconds, 0.05))
        seconds -= 0.05
        if reader.at_eof():
            raise ConnectionError


def analyze_image(body: Mapping[str, Any]) -> Answer:
    """https://learn.microsoft.com/rest/api/contentsafety/image-operations/analyze-image"""
    content = (body.get("image") or {}).get("content")
    try:
        data = base64.b64decode(content or "", validate=True)
    except (binascii.Error, ValueError):
        return error(400, "InvalidRequestBody", "image.content is no base64.")
    if not data.startswith(IMAGES):
        return error(400, "InvalidImageFormat", "The image format is not supported.")
    if len(data) > 4_194_304:
        return error(400, "InvalidImageSize", "The image is larger than 4 MB.")
    wanted = body.get("categories") or CATEGORIES
    return 200, {"categoriesAnalysis": severities(data.decode("latin-1"), wanted, eight=False)}


def shield_prompt(body: Mapping[str, Any]) -> Answer:
    """https://learn.microsoft.com/rest/api/contentsafety/text-operations/shield-prompt"""
    prompt, documents = body.get("userPrompt"), body.get("documents") or []
    if prompt is None and not documents:
        return invalid("userPrompt or documents is required.")
    if units(prompt or "") > LONGEST or sum(map(units, documents)) > LONGEST or len(documents) > 5:
        return invalid("The text is too long.")
    found: dict[str, Any] = {"documentsAnalysis": [{"attackDetected": bool(ATTACK.search(one))} for one in documents]}
    if prompt is not None:
        found["userPromptAnalysis"] = {"attackDetected": bool(ATTACK.search(prompt))}
    return 200, found


def severities(text: str, wanted: Iterable[str], *, eight: bool) -> list[dict[str, Any]]:
    """What is in a text, in the order of the specification."""
    found = dict.fromkeys(CATEGORIES, 0)
    names = {name.lower(): name for name in CATEGORIES}
    for name, level in re.findall(r"\b(hate|selfharm|sexual|violence)=([0-7])", text, re.I):
        found[names[name.lower()]] = max(found[names[name.lower()]], int(level))
    for name, words in WORDS:
        if re.search(words, text, re.I):
            found[name] = max(found[name], 4)
    return [
        {"category": name, "severity": found[name] if eight else found[name] // 2 * 2}
        for name in CATEGORIES
        if name in wanted
    ]


def units(text: str) -> int:
    """Length in UTF-16 units: the stricter of the two ways to count characters."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def error(status: int, code: str, message: str) -> Answer:
    """An error as the service words it."""
    return status, {"error": {"code": code, "message": message, "details": []}}


def invalid(detail: str) -> Answer:
    """A body that is not as it should be."""
    return error(400, "InvalidRequestBody", f"The request body is invalid. | Detail: {detail}")


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description="A scripted Azure AI Content Safety.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", help="what calls must bring as Ocp-Apim-Subscription-Key")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds every answer takes")
    options = parser.parse_args()
    with ContentSafetyService(port=options.port, key=options.key, delay=options.delay) as service:
        print(f"listening on {service.url}", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
