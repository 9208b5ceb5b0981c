"""Reads `gateway.yaml` into models and tells every problem with file, line and path, all at once."""

import asyncio
import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from shared.config.certificates import ClientCertificate
from shared.config.models import ALL_APIS, Gateway, NamedValue
from shared.config.named_values import NamedValues, SecretFetcher, resolve
from shared.config.plain_data import TOO_DEEP
from shared.config.sound_part import Location, sound_part
from shared.errors import Problem

if TYPE_CHECKING:
    from shared.config.definition import DocumentDefinition
    from shared.config.responses import DocumentResponses

# YAML's \u can write one; UTF-8 cannot, so it would fail whatever writes it: a header, a log, a file.
SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(slots=True)
class Loaded:
    """A read configuration file: the models (None when they do not validate), named values, and what is wrong.

    `sound` is what to look for further problems in when the models do not validate, None when too little is right.
    `certificates`, `schemas` (by id: a JSON Schema as plain data, or an XML schema's bytes), and by API id what its
    OpenAPI document answers (`responses`) and specifies (`definitions`), are read when it is compiled.
    """

    file: Path
    gateway: Gateway | None
    named_values: NamedValues
    problems: list[Problem] = field(default_factory=list)
    tree: Any = None
    sound: Gateway | None = None
    certificates: dict[str, ClientCertificate] = field(default_factory=dict)
    schemas: dict[str, Any] = field(default_factory=dict)
    responses: "dict[str, DocumentResponses]" = field(default_factory=dict)
    definitions: "dict[str, DocumentDefinition]" = field(default_factory=dict)

    def problem(self, location: Location, message: str, severity: str = "error") -> None:
        """Note a problem at a place in the file."""
        path = ".".join(str(part) for part in location)
        self.problems.append(Problem(self.file.name, line_of(self.tree, location), path, message, severity))


async def load(
    file: Path,
    environment: Mapping[str, str],
    fetch_secret: SecretFetcher | None = None,
    *,
    placeholders: bool = False,
) -> Loaded:
    """Read and validate `file`. Never raises for what is in the file: look at `problems`. What is not known here is
    made up as `resolve` says: values of Key Vault without `fetch_secret`, of the environment with `placeholders`."""
    loaded = Loaded(file, None, NamedValues())
    try:
        await _fill(loaded, environment, fetch_secret, placeholders)
    except RecursionError:
        loaded.problem((), TOO_DEEP)
    return loaded


async def _fill(
    loaded: Loaded, environment: Mapping[str, str], fetch_secret: SecretFetcher | None, placeholders: bool
) -> None:
    try:
        loaded.tree = await asyncio.to_thread(_read, loaded.file)
    except (OSError, UnicodeDecodeError) as error:
        loaded.problem((), f"cannot be read: {error.strerror if isinstance(error, OSError) else error}")
        return
    except YAMLError as error:
        loaded.problems.append(_yaml_problem(loaded.file.name, error))
        return
    except (ValueError, KeyError) as error:  # a value that is not what its form or its tag says, such as 2026-13-01
        loaded.problem((), f"not valid YAML: {error}")
        return
    if not isinstance(loaded.tree, dict):
        loaded.problem((), "must be a mapping with apis, backends, products, ...")
        return
    loaded.named_values = await _named_values(loaded, environment, fetch_secret, placeholders)
    plain = _substitute(loaded, loaded.tree, ())
    try:
        loaded.gateway = loaded.sound = Gateway.model_validate(plain)
    except ValidationError as error:
        _note(loaded, error)
        loaded.sound = sound_part(plain, error)
    if loaded.sound is not None:
        for location, message in _broken_references(loaded.sound):
            loaded.problem(location, message)


def _read(file: Path) -> Any:
    return YAML(typ="rt").load(file.read_text(encoding="utf-8"))


async def _named_values(
    loaded: Loaded, environment: Mapping[str, str], fetch_secret: SecretFetcher | None, placeholders: bool
) -> NamedValues:
    section = loaded.tree.get("named_values")
    declared: dict[str, NamedValue] = {}
    wrong: set[str] = set()
    if isinstance(section, dict):
        for name, value in section.items():
            try:
                declared[str(name)] = TypeAdapter(NamedValue).validate_python(value)
            except ValidationError:  # told when the whole file is validated
                wrong.add(str(name))
    values, problems = await resolve(declared, environment, fetch_secret, placeholders=placeholders, unknown=wrong)
    for name, message in problems.items():
        loaded.problem(("named_values", name), message)
    return values


def _substitute(loaded: Loaded, node: Any, location: Location) -> Any:
    """The tree as plain data, with `{{name}}` replaced everywhere but in the declarations of named values."""
    if isinstance(node, dict):
        return {key: _substitute(loaded, value, (*location, key)) for key, value in node.items()}
    if isinstance(node, list):
        return [_substitute(loaded, value, (*location, index)) for index, value in enumerate(node)]
    if isinstance(node, str) and (lone := SURROGATE.search(node)):
        loaded.problem(location, f"\\u{ord(lone[0]):04x} is half of a character: no text may hold it")
    if isinstance(node, str) and location[:1] != ("named_values",):
        declared = loaded.tree.get("named_values") or {}

        def missing(name: str) -> None:
            if name not in declared:  # one that is declared but has no value is told at its declaration
                loaded.problem(location, f"named value {name} is not declared{suggestion(name, declared)}")

        return loaded.named_values.substitute(str(node), missing)
    return node


def _yaml_problem(file: str, error: YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None) if isinstance(error, MarkedYAMLError) else None
    text = (getattr(error, "problem", None) or str(error).splitlines()[0]).strip()
    return Problem(file, mark.line + 1 if mark else 0, "", f"not valid YAML: {text}")


def _note(loaded: Loaded, error: ValidationError) -> None:
    for item in error.errors(include_url=False, include_input=False):
        location = tuple(part for part in item["loc"] if part != "[key]")
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            known = _keys_at(Gateway, location[:-1])
            message = f"unknown key {location[-1]}{suggestion(str(location[-1]), known)}"
        elif item["type"] == "missing":
            message = f"{location[-1]} is required"
            location = location[:-1]
        loaded.problem(location, message[:1].lower() + message[1:])


def suggestion(name: str, known: Any) -> str:
    """`, did you mean X?` when a known name is near, else nothing."""
    near = difflib.get_close_matches(name, [str(other) for other in known], n=1, cutoff=0.6)
    return f", did you mean {near[0]}?" if near else ""


def _keys_at(model: Any, location: Location) -> list[str]:
    """The keys that may stand at a place of the model tree."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        by_key = {field.validation_alias or name: field for name, field in model.model_fields.items()}
        if not location:
            return [str(key) for key, field in by_key.items() if not _derived(field)]
        found = by_key.get(str(location[0]))
        return _keys_at(found.annotation, location[1:]) if found else []
    arguments = get_args(model)
    container = getattr(model, "__origin__", None)
    if container in (dict, tuple, list):
        item = arguments[1] if container is dict else arguments[0]
        return _keys_at(item, location[1:]) if location else []
    return next((keys for option in arguments if (keys := _keys_at(option, location))), [])


def _derived(field: Any) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("x-derived"))


def _broken_references(gateway: Gateway) -> Iterator[tuple[Location, str]]:
    yield from _broken_pools(gateway)
    yield from _broken_prices(gateway)
    paths: dict[str, str] = {}
    for id, api in gateway.apis.items():
        if api.backend is not None and api.backend not in gateway.backends:
            yield ("apis", id, "backend"), f"no backend {api.backend}{suggestion(api.backend, gateway.backends)}"
        for product in api.products:
            if product not in gateway.products:
                yield ("apis", id, "products"), f"no product {product}{suggestion(product, gateway.products)}"
        other = paths.setdefault(api.path.lower(), id)
        if other != id:
            yield ("apis", id, "path"), f"API {other} has the same path"
        if api.kind == "http" and not api.operations and not api.openapi:
            yield ("apis", id), "kind http needs operations or openapi"
        if len({operation.id for operation in api.operations or ()}) != len(api.operations or ()):
            yield ("apis", id, "operations"), "an operation id is used twice"
        open_products = [product for product in products_of(gateway, id) if not product.subscription_required]
        if len(open_products) > 1:
            names = ", ".join(product.id for product in open_products)
            yield ("apis", id), f"at most one open product per API, but it is in {names}"
    for id, declared in gateway.products.items():
        for name in declared.apis:
            if name not in gateway.apis:
                yield ("products", id, "apis"), f"no API {name}{suggestion(name, gateway.apis)}"
    held: dict[str, str] = {}
    for id, subscription in gateway.subscriptions.items():
        for which, key in (("primary", subscription.keys.primary), ("secondary", subscription.keys.secondary)):
            if key is not None and not key.strip():
                yield ("subscriptions", id, "keys", which), "the key is empty"
            elif key is not None and held.setdefault(key, id) != id:
                yield ("subscriptions", id, "keys", which), f"subscription {held[key]} has the same key"
        if subscription.scope != ALL_APIS:
            kind, _, name = subscription.scope.partition(":")
            known: Mapping[str, Any] = gateway.apis if kind == "api" else gateway.products
            if name not in known:
                yield ("subscriptions", id, "scope"), f"no {kind} {name}{suggestion(name, known)}"


def _broken_pools(gateway: Gateway) -> Iterator[tuple[Location, str]]:
    for id, backend in gateway.backends.items():
        for index, service in enumerate(backend.pool.services if backend.pool is not None else ()):
            place: Location = ("backends", id, "pool", "services", index, "id")
            member = gateway.backends.get(service.id)
            if member is None:
                yield place, f"no backend {service.id}{suggestion(service.id, gateway.backends)}"
            elif member.pool is not None:
                yield place, f"{service.id} is a pool itself: members are single backends"


def _broken_prices(gateway: Gateway) -> Iterator[tuple[Location, str]]:
    first: dict[tuple[object, ...], int] = {}
    for index, price in enumerate(gateway.prices):
        if price.backend is not None and price.backend not in gateway.backends:
            near = suggestion(price.backend, gateway.backends)
            yield ("prices", index, "backend"), f"no backend {price.backend}{near}"
        elif price.backend is not None and gateway.backends[price.backend].pool is not None:
            yield ("prices", index, "backend"), f"{price.backend} is a pool: its members have prices"
        key = (price.model.lower(), price.provider, price.backend, price.above_prompt_tokens, price.valid_from)
        if first.setdefault(key, index) != index:
            yield ("prices", index), f"the price of {price.model} is there twice"


def products_of(gateway: Gateway, api_id: str) -> list[Any]:
    """The products an API is in, in the order they are declared."""
    own = gateway.apis[api_id].products
    return [product for id, product in gateway.products.items() if id in own or api_id in product.apis]


def line_of(tree: Any, location: Location) -> int:
    """The line (from 1) of a place in a tree read by ruamel, or of the nearest place above that has one; 0 for the
    whole.
    """
    line = 0
    for part in location:
        try:
            if isinstance(tree, CommentedMap):
                line = tree.lc.key(part)[0] + 1
            elif isinstance(tree, CommentedSeq) and isinstance(part, int):
                line = tree.lc.item(part)[0] + 1
            tree = tree[part]
        except (KeyError, IndexError, TypeError, AttributeError):
            break
    return line
