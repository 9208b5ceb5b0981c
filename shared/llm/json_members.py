"""Picks single members out of a JSON object of any size as its bytes pass, without keeping the rest."""

import re
from typing import Any

from shared.llm.lenient_json import read_leniently

_STRING_PART = re.compile(rb'["\\]')
_TOP = re.compile(rb'["{}\[\],:]')
_DEEP = re.compile(rb'["{}\[\]]')
_MOST = 65_536


class Members:
    """Feed the bytes of a JSON object; `values` has those of its own members that are `wanted`, parsed.

    A value of more than 64 KiB, or bytes that are no JSON, leave a member out.
    """

    def __init__(self, wanted: frozenset[str]) -> None:
        self.values: dict[str, Any] = {}
        self._wanted = wanted
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._is_key = True
        self._name = ""
        self._taken: bytearray | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        at = 0
        while at < len(data):
            at = self._string(data, at) if self._in_string else self._structure(data, at)

    def _string(self, data: bytes, at: int) -> int:
        if self._escaped:
            self._escaped = False
            return self._take(data, at, at + 1)
        found = _STRING_PART.search(data, at)
        if found is None:
            return self._take(data, at, len(data))
        if found[0] == b"\\":
            self._escaped = True
        else:
            self._in_string = False
        end = self._take(data, at, found.end())
        if not self._in_string and self._depth == 1 and self._is_key:
            self._name = self._parsed() or ""
        return end

    def _structure(self, data: bytes, at: int) -> int:
        found = (_TOP if self._depth <= 1 else _DEEP).search(data, at)
        if found is None:
            return self._take(data, at, len(data))
        mark = found[0]
        if mark in b",}" and self._depth == 1:
            self._take(data, at, found.start())
            self._member_ends()
            self._depth -= mark == b"}"
            return found.end()
        end = found.end()
        if mark == b'"':
            self._in_string = True
            if self._depth == 1 and self._is_key:
                self._taken = bytearray()
                self._take(data, found.start(), end)
                return end
        elif mark in b"{[":
            self._depth += 1
        elif mark in b"}]":
            self._depth -= 1
        elif mark == b":" and self._depth == 1:
            self._is_key = False
            self._taken = bytearray() if self._name in self._wanted else None
            return end
        return self._take(data, at, end)

    def _take(self, data: bytes, start: int, end: int) -> int:
        if self._taken is not None:
            self._taken += data[start:end]
            if len(self._taken) > _MOST:
                self._taken = None
        return end

    def _member_ends(self) -> None:
        if not self._is_key and self._name in self._wanted:
            value = self._parsed()
            if value is not None:
                self.values[self._name] = value
        self._is_key, self._name, self._taken = True, "", None

    def _parsed(self) -> Any:
        taken, self._taken = self._taken, None
        try:
            return read_leniently(bytes(taken)) if taken else None
        except ValueError:
            return None
