"""Products of API Management, and the commands that bring subscriptions, whose keys no artifact has."""

import shlex
from collections.abc import Collection
from typing import Any

from shared.management.importers.access_key import variable_name
from shared.management.importers.apim.artifacts import Resource
from shared.management.importers.apim.part import Part
from shared.management.importers.importer import Entry, LeftOut


def product_part(resource: Resource) -> Part:
    """A product with its settings, groups and policy. Which APIs are in it is written at the APIs."""
    value: dict[str, Any] = {"display_name": resource.text("displayName") or resource.name}
    if description := resource.text("description"):
        value["description"] = description
    if resource.properties.get("subscriptionRequired") is False:
        value["subscription_required"] = False
    if resource.properties.get("approvalRequired") is True:
        value["approval_required"] = True
    if limit := resource.properties.get("subscriptionsLimit"):
        value["subscription_limit"] = limit
    if resource.text("state") == "notPublished":
        value["state"] = "notPublished"
    if groups := resource.links("groups"):
        value["groups"] = groups
    documents = {}
    if resource.policy is not None:
        value["policy"] = file = f"policies/products/{resource.name}/policy.xml"
        documents[file] = resource.policy
    return Part(f"product {resource.name}", (Entry("products", resource.name, value),), documents)


def subscription_command(resource: Resource, apis: Collection[str], products: Collection[str]) -> str | LeftOut:
    """The command that makes the subscription here with the key it has in API Management."""
    what = f"subscription {resource.name}"
    scope = scope_of(resource.text("scope"))
    kind, _, id = scope.partition(":")
    if kind != "all-apis" and id not in (apis if kind == "api" else products):
        return LeftOut(what, f"{kind} {id} is not imported")
    words = ["python", "-m", "shared", "subscriptions", "create", resource.name, "--scope", scope]
    if name := resource.text("displayName"):
        words += ["--name", name]
    if (state := resource.text("state")) not in ("", "active"):
        words += ["--state", state]
    if expires := resource.text("expirationDate"):
        words += ["--expires", expires]
    variable = variable_name(resource.name)
    words += ["--primary-key-env", f"{variable}_PRIMARY", "--secondary-key-env", f"{variable}_SECONDARY"]
    return shlex.join(words)


def scope_of(scope: str) -> str:
    """`product:x`, `api:x` or `all-apis` for an APIM scope, an ARM id or the end of one."""
    segments = scope.strip("/").split("/")
    match segments[-2:]:
        case ["products", id]:
            return f"product:{id}"
        case ["apis", id]:
            return f"api:{id.partition(';rev=')[0]}"
    return "all-apis"
