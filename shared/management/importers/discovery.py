"""Finds an AI resource and its deployments in Azure, by option or by asking."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from shared.config.loader import suggestion
from shared.management.importers.arm import PUBLIC_CLOUD, AiResource, Arm, AzureSubscription, Deployment
from shared.management.importers.importer import ImportFailed, Outside, Prompt

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found:
    """A resource with all its deployments, and the one the caller chose, if any."""

    resource: AiResource
    deployments: tuple[Deployment, ...]
    deployment: Deployment | None


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of the wizard's first tab and of the role assignment."""
    group = parser.add_argument_group("Azure resource")
    group.add_argument("--discover", action="store_true", help="look the resource up in Azure and ask which")
    group.add_argument("--azure-subscription", metavar="ID_OR_NAME")
    group.add_argument("--resource", metavar="NAME_OR_ID", help="Azure OpenAI or Foundry resource to look up")
    group.add_argument("--deployment", metavar="NAME", help="deployment of that resource; must exist")
    group.add_argument("--grant", action="store_true", help="assign the gateway's identity the role it needs")
    group.add_argument("--principal-id", metavar="GUID", help="object id of the gateway's identity")
    group.add_argument("--arm-url", metavar="URL", help=f"default {PUBLIC_CLOUD}, or AZURE_ARM_URL")


def arm_url(arguments: Namespace, outside: Outside) -> str:
    """The Azure Resource Manager endpoint to use."""
    return arguments.arm_url or outside.environment.get("AZURE_ARM_URL") or PUBLIC_CLOUD


def is_wanted(arguments: Namespace, outside: Outside) -> bool:
    """Whether the resource is to be looked up rather than named by its URL."""
    asked = arguments.discover or arguments.resource or arguments.deployment or arguments.grant
    return bool(asked) or (arguments.url is None and outside.prompt is not None)


async def find(arguments: Namespace, outside: Outside) -> Found:
    """The resource the options or the person at the terminal choose. ImportFailed when there is none."""
    async with Arm(arm_url(arguments, outside), outside.token) as arm:
        resource = await _find_resource(arm, arguments, outside.prompt)
        deployments = tuple(await arm.deployments(resource))
    if not deployments:
        raise ImportFailed(f"{resource.name} has no deployments; deploy a model first")
    chosen = None
    if arguments.deployment or (arguments.discover and outside.prompt and len(deployments) > 1):
        chosen = _pick(deployments, arguments.deployment, "deployment", lambda one: (one.name,), outside.prompt)
    return Found(resource, deployments, chosen)


async def _find_resource(arm: Arm, arguments: Namespace, prompt: Prompt | None) -> AiResource:
    wanted: str | None = arguments.resource
    if wanted is not None and wanted.startswith("/"):
        return await arm.resource(wanted)
    subscriptions = await arm.subscriptions()
    if arguments.azure_subscription or wanted is None:
        subscriptions = [_pick(subscriptions, arguments.azure_subscription, "Azure subscription", _names, prompt)]
    resources = [resource for one in subscriptions for resource in await arm.resources(one.id)]
    return _pick(resources, wanted, "resource", lambda resource: (resource.name, resource.location), prompt)


def _names(subscription: AzureSubscription) -> tuple[str, ...]:
    return subscription.name, subscription.id


def _pick(
    items: Sequence[T], wanted: str | None, what: str, names: Callable[[T], tuple[str, ...]], prompt: Prompt | None
) -> T:
    """The item with the wanted name, the only one there is, or the one chosen at the terminal."""
    listed = ", ".join(names(item)[0] for item in items)
    if not items:
        raise ImportFailed(f"no {what} found that the login may see")
    if wanted is not None:
        found = [item for item in items if wanted.lower() in (name.lower() for name in names(item))]
        if len(found) == 1:
            return found[0]
        if found:
            raise ImportFailed(f"{len(found)} {what}s are called {wanted}; give the id instead")
        near = suggestion(wanted, [names(item)[0] for item in items]) or "."
        raise ImportFailed(f"no {what} {wanted}{near} Found: {listed}")
    if len(items) == 1:
        return items[0]
    if prompt is None:
        raise ImportFailed(f"several {what}s found, choose one by option: {listed}")
    return items[prompt.choose(f"Which {what}?", [" · ".join(names(item)) for item in items])]
