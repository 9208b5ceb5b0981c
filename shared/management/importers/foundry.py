"""Imports a Microsoft Foundry resource with the client compatibility the caller chooses."""

from argparse import ArgumentParser, Namespace
from typing import ClassVar

from shared.management.importers import azure_resource
from shared.management.importers.azure_resource import COMPATIBILITIES
from shared.management.importers.importer import ImportPlan, Outside


class Foundry:
    """Wizard "Microsoft Foundry" (https://learn.microsoft.com/azure/api-management/azure-ai-foundry-api)."""

    name: ClassVar[str] = "foundry"
    summary: ClassVar[str] = "a Microsoft Foundry resource"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the source's options."""
        parser.add_argument(
            "--compatibility",
            choices=[one.kind for one in COMPATIBILITIES],
            default=COMPATIBILITIES[0].kind,
            help="how clients call it (default %(default)s)",
        )
        azure_resource.add_arguments(parser)

    async def plan(self, arguments: Namespace, outside: Outside) -> ImportPlan:
        """What to add for the resource."""
        compatibility = next(one for one in COMPATIBILITIES if one.kind == arguments.compatibility)
        return await azure_resource.plan(arguments, outside, compatibility)
