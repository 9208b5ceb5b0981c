"""Finds the API and operation of a request (pure)."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import unquote

from shared.message import fully_decoded, query_parameters

T = TypeVar("T")

_PARAMETER = re.compile(r"\{([^{}]+)\}")
_REST = re.compile(r"/(?:\*|\{\*([^{}]+)\})$")

_WILDCARD = (3, 0)


@dataclass(frozen=True, slots=True)
class Template(Generic[T]):
    """A URL template made ready: a method, a pattern over the path below the API, and the query it requires."""

    target: T
    method: str
    pattern: re.Pattern[str]
    names: tuple[str, ...]
    query: tuple[tuple[str, str | None, str], ...]
    weight: tuple[tuple[int, int], ...]
    literal: str | None

    def takes_the_rest_of(self, other: "Template[T]") -> bool:
        """Whether this is a template with a wildcard that is wider than the other."""
        return self.weight[-1] == _WILDCARD and self.weight > other.weight


def compile_template(target: T, method: str, url_template: str) -> Template[T]:
    """Make an APIM URL template ready. `{name}` takes one segment or a part of one, a last `/*` or `/{*name}` takes the
    rest, `?name={parameter}` requires the query parameter and captures it, `?name=value` requires that value."""
    path, _, query = url_template.partition("?")
    rest = _REST.search(path)
    wildcard = rest is not None
    stem = path[: rest.start()] if rest is not None else path.rstrip("/") or ("/" if path == "/" else "")
    names: list[str] = []
    parts: list[str] = []
    for index, piece in enumerate(_PARAMETER.split(stem)):
        if index % 2:
            names.append(piece)
            parts.append("([^/]+?)")
        else:
            parts.append(re.escape(piece))
    if rest is not None and rest[1]:
        names.append(rest[1])
    ending = "/?" if rest is None else "(?:/(.*))?" if rest[1] else "(?:/.*)?"
    pattern = "".join(parts).rstrip("/") + ending
    required = []
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        parameter = _PARAMETER.fullmatch(value)
        required.append((unquote(name), parameter[1] if parameter else None, unquote(value)))
    # A literal segment is more exact than one with a parameter, and that the more so the more of it is literal.
    weight = tuple((2, -len(_PARAMETER.sub("", part))) if "{" in part else (1, 0) for part in stem.split("/")[1:])
    weight += (_WILDCARD,) if wildcard else ((0, 0),)
    literal = stem.rstrip("/").lower() if not names and not wildcard else None
    return Template(
        target, method, re.compile(pattern, re.IGNORECASE | re.DOTALL), tuple(names), tuple(required), weight, literal
    )


class Operations(Generic[T]):
    """The operations of one API, tried from the most exact template to the widest."""

    def __init__(self, templates: Iterable[Template[T]]) -> None:
        # A template that requires more of the query is more exact than the same path without.
        templates = list(templates)
        self.targets: list[T] = [template.target for template in templates]
        ordered = sorted(templates, key=lambda template: (template.weight, -len(template.query)))
        self._literal: dict[tuple[str, str], list[Template[T]]] = {}
        self._open: dict[str, list[Template[T]]] = {}
        for template in ordered:
            if template.literal is not None:
                self._literal.setdefault((template.method, template.literal), []).append(template)
            else:
                self._open.setdefault(template.method, []).append(template)

    def match(self, method: str, path: str, query: str) -> tuple[T, dict[str, str]] | None:
        """The operation for a canonical path below the API and a query without `?`, with its matched parameters. None
        for a path that is another operation's as some servers read it: what that one's policies ask for, and this
        one's do not, would be passed by. A wider one with a wildcard is no other: it takes what is left."""
        found = self._first(method, path, query)
        if found is None:
            return None
        template, captured = found
        if "%" in path or ";" in path:
            for other in other_readings(path):
                meant = self._first(method, other, query)
                if meant is not None and meant[0] is not template and not meant[0].takes_the_rest_of(template):
                    return None
        return template.target, captured

    def _first(self, method: str, path: str, query: str) -> tuple[Template[T], dict[str, str]] | None:
        for template in self._literal.get((method, path.rstrip("/").lower()), ()):
            captured = _captured(template, (), query)
            if captured is not None:
                return template, captured
        for template in self._open.get(method, ()):
            found = template.pattern.fullmatch(path)
            if found is not None:
                captured = _captured(template, found.groups(), query)
                if captured is not None:
                    return template, captured
        return None


def other_readings(path: str) -> set[str]:
    """The path as servers read it that decode all of it before they look at its segments, or drop what follows a `;` in
    each (RFC 3986 section 3.3 leaves both `;` and what is encoded to them)."""
    decoded = fully_decoded(path).replace("\\", "/")
    dropped = {re.sub(";[^/]*", "", one) for one in (path, decoded)}
    return {re.sub("/{2,}", "/", one) for one in {decoded, *dropped}} - {path}


def _captured(template: Template[T], values: Sequence[str | None], query: str) -> dict[str, str] | None:
    captured = {name: unquote(value or "") for name, value in zip(template.names, values, strict=True)}
    if template.query:
        given = query_parameters(query)
        for name, parameter, value in template.query:
            if name not in given or (parameter is None and given[name] != value):
                return None
            if parameter is not None:
                captured[parameter] = given[name]
    return captured


class Apis(Generic[T]):
    """The APIs by path; the longest path that is a prefix on whole segments wins, as in APIM."""

    def __init__(self, apis: Iterable[tuple[str, T]]) -> None:
        self._by_path = {path.lower().strip("/"): api for path, api in apis}
        self._deepest = max((path.count("/") + 1 for path in self._by_path if path), default=0)

    def match(self, path: str) -> tuple[T, str] | None:
        """The API of a canonical path, and the rest of the path below it (starting with a slash)."""
        cuts: list[int] = []
        position = path.find("/", 1)
        while position != -1 and len(cuts) < self._deepest:
            cuts.append(position)
            position = path.find("/", position + 1)
        if len(cuts) < self._deepest:
            cuts.append(len(path))
        for cut in reversed(cuts):
            api = self._by_path.get(path[1:cut].lower())
            if api is not None:
                return api, path[cut:] or "/"
        root = self._by_path.get("")
        return (root, path) if root is not None else None
