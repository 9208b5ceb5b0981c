"""``Regex``: .NET patterns on the ``regex`` package, each search bounded in time."""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from shared.expressions.enums import number_of
from shared.expressions.errors import ExpressionFailed, LimitExceeded, argument_null
from shared.expressions.formats import text
from shared.expressions.linq import ENUMERABLE
from shared.expressions.lists import NetArray, NetList
from shared.expressions.nettypes import NetType, returning
from shared.expressions.run import Run

_FLAGS = {1: "IGNORECASE", 2: "MULTILINE", 16: "DOTALL", 32: "VERBOSE"}
MAX_PATTERN = 10_000


def translated(pattern: str) -> str:
    r"""A .NET pattern in the ``regex`` package's syntax: named groups, ``\k<name>``, ``\z``, ``$`` before a last line
    feed.
    """
    pattern = re.sub(r"\(\?<([A-Za-z_]\w*)-([A-Za-z_]\w*)>", _no_balancing, pattern)
    pattern = re.sub(r"\(\?'([A-Za-z_]\w*)'", r"(?P<\1>", pattern)
    pattern = re.sub(r"\(\?<([A-Za-z_]\w*)>", r"(?P<\1>", pattern)
    pattern = re.sub(r"(?<!\\)((?:\\\\)*)\\k(?:<(\w+)>|'(\w+)')", lambda m: f"{m[1]}(?P={m[2] or m[3]})", pattern)
    return re.sub(r"(?<!\\)((?:\\\\)*)\\([zZ])", lambda m: m[1] + (r"\Z" if m[2] == "z" else r"(?=\n?\Z)"), pattern)


def _no_balancing(found: "re.Match[str]") -> str:
    raise ExpressionFailed("NotSupportedException", f"Balancing groups such as '{found[0]}' are not supported.")


@lru_cache(maxsize=256)
def _compiled(pattern: str, options: int) -> Any:
    import regex  # type: ignore[import-untyped]  # here, as few documents have a pattern

    if len(pattern) > MAX_PATTERN:
        raise ExpressionFailed("ArgumentException", f"A pattern has at most {MAX_PATTERN} characters.")
    flags = regex.VERSION0
    for number, flag in _FLAGS.items():
        flags |= getattr(regex, flag) if options & number else 0
    try:
        return regex.compile(translated(pattern), flags)
    except regex.error as error:
        message = f"Invalid pattern '{pattern}' at offset {error.pos or 0}. {error.msg}"
        raise ExpressionFailed("RegexParseException", message) from None
    except (RecursionError, OverflowError, MemoryError):
        raise ExpressionFailed("RegexParseException", f"Invalid pattern '{pattern[:100]}'.") from None


def _numbered(compiled: Any) -> list[int]:
    """The groups in .NET's order: named ones come after those without a name."""
    named = sorted(compiled.groupindex.values())
    return [*(number for number in range(compiled.groups + 1) if number not in named), *named]


class NetRegex:
    """A compiled ``Regex``, with the time its searches may take where the code set one."""

    __slots__ = ("compiled", "numbers", "options", "pattern", "timeout")

    def __init__(self, pattern: Any, options: Any = None, timeout: Any = None) -> None:
        if pattern is None:
            raise argument_null("pattern")
        self.pattern = text(pattern)
        self.options = number_of(options)
        self.timeout: float | None = (
            timeout.ticks / 10_000_000 if hasattr(timeout, "ticks") and timeout.ticks > 0 else None
        )
        self.compiled = _compiled(self.pattern, self.options)
        self.numbers = _numbered(self.compiled) if self.compiled.groupindex else None

    def group(self, key: Any) -> Any:
        """What the ``regex`` package calls a group: the name, or the number it has there. IndexError for none."""
        if isinstance(key, str) and not key.isdigit():
            return key
        return int(key) if self.numbers is None else self.numbers[int(key)]

    def bounded(self, run: Run, search: Callable[[float], Any]) -> Any:
        """Run a search for as long as its own limit and the evaluation's allow."""
        left = run.seconds_left()
        try:
            return search(min(left, self.timeout or left))
        except TimeoutError:
            if self.timeout is not None and self.timeout < left:
                message = (
                    "The Regex engine has timed out while trying to match a pattern to an input string. "
                    "This can occur for many reasons, including very large inputs or excessive backtracking."
                )
                raise ExpressionFailed("RegexMatchTimeoutException", message) from None
            raise LimitExceeded("a regular expression takes too long") from None


class NetMatch:
    """``Match``; one that failed has no text."""

    __slots__ = ("found", "regex", "run")

    def __init__(self, run: Run, owner: NetRegex, found: Any) -> None:
        self.run = run
        self.regex = owner
        self.found = found

    def __str__(self) -> str:
        return self.found[0] if self.found else ""

    def group(self, key: Any) -> "NetGroup":
        return NetGroup(self, key)

    def names(self) -> list[str]:
        compiled = self.regex.compiled
        named = {number: name for name, number in compiled.groupindex.items()}
        order = self.regex.numbers or range(compiled.groups + 1)
        return [named.get(number, str(place)) for place, number in enumerate(order)]


class NetGroup:
    """``Group``: part of a match by number or name."""

    __slots__ = ("key", "span", "value")

    def __init__(self, match: NetMatch, key: Any) -> None:
        self.key = key
        self.value: str | None = None
        self.span = (0, 0)
        if match.found:
            try:
                wanted = match.regex.group(key)
                self.value, self.span = match.found[wanted], match.found.span(wanted)
            except IndexError:
                pass

    def __str__(self) -> str:
        return self.value or ""


class Groups:
    """``match.Groups``: by number or name, and as a sequence."""

    __slots__ = ("match",)

    def __init__(self, match: NetMatch) -> None:
        self.match = match

    def item(self, key: Any) -> NetGroup:
        return self.match.group(key)

    def __iter__(self) -> Iterator[NetGroup]:
        return iter([self.match.group(name) for name in self.match.names()])

    def __bool__(self) -> bool:
        return True


def _subject(value: Any) -> str:
    if value is None:
        raise argument_null("input")
    return text(value)


def _match(run: Run, one: NetRegex, value: Any, at: int = 0) -> NetMatch:
    subject = _subject(value)
    return NetMatch(run, one, one.bounded(run, lambda limit: one.compiled.search(subject, at, timeout=limit)))


def _matches(run: Run, one: NetRegex, value: Any) -> NetList:
    subject = _subject(value)

    def listed(limit: float) -> list[NetMatch]:
        found = []
        for each in one.compiled.finditer(subject, timeout=limit):
            run.step()
            found.append(NetMatch(run, one, each))
        return found

    return NetList(one.bounded(run, listed))


def _is_match(run: Run, one: NetRegex, value: Any, at: int = 0) -> bool:
    subject = _subject(value)
    return one.bounded(run, lambda limit: one.compiled.search(subject, at, timeout=limit)) is not None


_SUBSTITUTION = re.compile(r"\$(?:\$|(\d+)|\{(\w+)\}|(&)|(`)|(')|(_))")


def _expanded(one: NetRegex, pattern: str, found: Any) -> str:
    """.NET's replacement patterns: ``$1``, ``${name}``, ``$&``, ``$$`` and the surroundings."""

    def part(token: "re.Match[str]") -> str:
        name = token[1] or token[2]
        if name:
            try:
                return found[one.group(name)] or ""
            except IndexError:
                return token[0]
        if token[3]:
            return str(found[0])
        if token[4]:
            return str(found.string[: found.start()])
        if token[5]:
            return str(found.string[found.end() :])
        return str(found.string) if token[6] else "$"

    return _SUBSTITUTION.sub(part, pattern)


def _replace(run: Run, one: NetRegex, value: Any, replacement: Any, count: int = -1, *_rest: Any) -> str:
    subject = _subject(value)

    def made(found: Any) -> str:
        run.step()
        shown = (
            text(replacement(NetMatch(run, one, found)))
            if callable(replacement)
            else _expanded(one, text(replacement), found)
        )
        run.charge(len(shown))
        return shown

    return str(one.bounded(run, lambda limit: one.compiled.sub(made, subject, count=max(count, 0), timeout=limit)))


def _split(run: Run, one: NetRegex, value: Any, count: int = 0) -> NetArray:
    subject = _subject(value)
    pieces = one.bounded(run, lambda limit: one.compiled.split(subject, max(count - 1, 0), timeout=limit))
    return NetArray(piece for piece in pieces if piece is not None)


def _static(method: Callable[..., Any], before: int) -> Callable[..., Any]:
    """``Regex.X(input, pattern, ...)``: ``before`` arguments of the method come after the pattern."""

    def call(run: Run, value: Any, pattern: Any, *rest: Any) -> Any:
        options, timeout = [*rest[before:], None, None][:2]
        return method(run, NetRegex(pattern, options, timeout), value, *rest[:before])

    return call


REGEX = NetType(
    "Regex",
    (NetRegex,),
    full_name="System.Text.RegularExpressions.Regex",
    construct=lambda types, pattern, options=None, matchTimeout=None: NetRegex(pattern, options, matchTimeout),
    methods=returning("bool", IsMatch=_is_match)
    | returning("Match", Match=_match)
    | returning("List", Matches=_matches)
    | returning("string", Replace=_replace, ToString=lambda one: one.pattern)
    | returning("Array", Split=_split, GetGroupNames=lambda one: NetArray(NetMatch(Run(None), one, None).names())),
    statics=returning("bool", IsMatch=_static(_is_match, 0))
    | returning("Match", Match=_static(_match, 0))
    | returning("List", Matches=_static(_matches, 0))
    | returning(
        "string",
        Replace=_static(_replace, 1),
        Escape=lambda value: re.sub(r"([\\*+?|{\[()^$.# ])", r"\\\1", value).replace("\n", r"\n").replace("\t", r"\t"),
        Unescape=lambda value: re.sub(r"\\(.)", r"\1", value),
    )
    | returning("Array", Split=_static(_split, 0)),
)


def _next(match: NetMatch) -> NetMatch:
    if not match.found:
        return match
    end = match.found.end() + (match.found.end() == match.found.start())
    return _match(match.run, match.regex, match.found.string, end)


def _captures(part: Any) -> NetList:
    return NetList([part] if (part.value if isinstance(part, NetGroup) else part.found) is not None else [])


MATCH = NetType(
    "Match",
    (NetMatch,),
    full_name="System.Text.RegularExpressions.Match",
    properties=returning("bool", Success=lambda match: match.found is not None)
    | returning("string", Value=str, Name=lambda match: "0")
    | returning(
        "int", Index=lambda match: match.found.start() if match.found else 0, Length=lambda match: len(str(match))
    )
    | returning("GroupCollection", Groups=Groups)
    | returning("List", Captures=_captures),
    methods=returning("Match", NextMatch=_next)
    | returning("string", Result=lambda match, pattern: _expanded(match.regex, pattern, match.found)),
)
GROUP = NetType(
    "Group",
    (NetGroup,),
    full_name="System.Text.RegularExpressions.Group",
    aliases=("Capture",),
    properties=returning("bool", Success=lambda group: group.value is not None)
    | returning("string", Value=str, Name=lambda group: text(group.key))
    | returning("int", Index=lambda group: group.span[0], Length=lambda group: group.span[1] - group.span[0])
    | returning("List", Captures=_captures),
)
GROUPS = NetType(
    "GroupCollection",
    (Groups,),
    aliases=("MatchCollection",),
    base=ENUMERABLE,
    index=Groups.item,
    properties=returning("int", Count=lambda groups: len(groups.match.names())),
    methods=returning("bool", ContainsKey=lambda groups, name: name in groups.match.names()),
)
REGEX_TYPES = (REGEX, MATCH, GROUP, GROUPS)
