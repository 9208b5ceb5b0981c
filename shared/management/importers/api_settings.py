"""The wizard's tab "Configure API": names, path, products, subscription."""

import re
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from dataclasses import dataclass
from typing import Any

from shared.config.declared import IDENTIFIER
from shared.config.openapi import identifier
from shared.management.importers.importer import Entry, ImportFailed


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """An API's own settings. `path` is what the caller asked for, without what the kind appends."""

    id: str
    display_name: str
    description: str | None
    path: str
    products: tuple[str, ...]
    subscription_required: bool | None
    subscription_key: dict[str, str]
    backend_id: str | None

    def entries(self, *, path: str, kind: str, backend: str, openapi: str | None = None) -> list[Entry]:
        """The API and the products it is in, as they are written to the file."""
        api: dict[str, Any] = {"display_name": self.display_name}
        if self.description is not None:
            api["description"] = self.description
        api |= {"path": path, "kind": kind, "backend": backend}
        if openapi:
            api["openapi"] = openapi
        if self.products:
            api["products"] = list(self.products)
        if self.subscription_required is not None:
            api["subscription_required"] = self.subscription_required
        if self.subscription_key:
            api["subscription_key"] = self.subscription_key
        api["policy"] = self.policy_file
        products = [
            Entry("products", product, {"display_name": _title(product)}, only_if_missing=True)
            for product in self.products
        ]
        return [*products, Entry("apis", self.id, api)]

    @property
    def policy_file(self) -> str:
        """Where the API's policy document is written, relative to `gateway.yaml`."""
        return f"policies/{self.id}.xml"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of the tab."""
    group = parser.add_argument_group("API")
    group.add_argument("--display-name", metavar="TEXT", help="display name (default: the id)")
    group.add_argument("--id", "--name", dest="id", metavar="ID", help="API id (default: made from the display name)")
    group.add_argument("--description", metavar="TEXT")
    group.add_argument("--path", metavar="PATH", help="what follows the gateway's host (default: the id)")
    group.add_argument(
        "--product", action="append", default=[], metavar="ID", help="product the API is in; made when missing; repeat"
    )
    group.add_argument(
        "--subscription-required",
        action=BooleanOptionalAction,
        default=None,
        help="whether callers need a subscription key (default: they do)",
    )
    group.add_argument(
        "--subscription-key-header",
        metavar="NAME",
        help="header callers send the subscription key in (the usual ones are accepted without this)",
    )
    group.add_argument("--subscription-key-query", metavar="NAME", help="query parameter for the same")
    group.add_argument("--backend-id", metavar="ID", help="id of the backend (default: made from the API's id)")


def from_arguments(arguments: Namespace, *, name: str | None = None) -> ApiSettings:
    """The settings; `name` is the source's own, used where the options give none. ImportFailed when they do not fit."""
    display_name = arguments.display_name or arguments.id or name or (arguments.path or "").strip("/")
    if not display_name:
        raise ImportFailed("give the API a name: --display-name, --id or --path")
    if not arguments.id and not re.search(r"[A-Za-z0-9]", display_name):
        raise ImportFailed(f"no id can be made from {display_name}; give one with --id")
    id = arguments.id or identifier(display_name).lower()
    products = [("--product", product) for product in arguments.product]
    for option, value in (("--id", id), ("--backend-id", arguments.backend_id), *products):
        if value is not None and not re.fullmatch(IDENTIFIER, value):
            raise ImportFailed(f"{option} {value}: letters, digits, dots, dashes and underscores only, 80 at most")
    key = {"header": arguments.subscription_key_header, "query": arguments.subscription_key_query}
    return ApiSettings(
        id=id,
        display_name=display_name,
        description=arguments.description,
        path=(id if arguments.path is None else arguments.path).strip("/"),
        products=tuple(dict.fromkeys(arguments.product)),
        subscription_required=arguments.subscription_required,
        subscription_key={name: value for name, value in key.items() if value},
        backend_id=arguments.backend_id,
    )


def with_suffix(path: str, suffix: str) -> str:
    """`path` ending in `suffix` (such as /openai), which is appended unless it is there."""
    return path if f"/{path}".lower().endswith(suffix) else f"{path}{suffix}".strip("/")


def _title(id: str) -> str:
    return re.sub(r"[-_.]+", " ", id).strip().capitalize() or id
