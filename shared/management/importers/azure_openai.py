"""Imports an Azure OpenAI resource: deployment in the path, `api-version` in the query."""

from argparse import ArgumentParser, Namespace
from typing import ClassVar

from shared.management.importers import azure_resource
from shared.management.importers.importer import ImportPlan, Outside


class AzureOpenAi:
    """Wizard "Azure OpenAI Service" (https://learn.microsoft.com/azure/api-management/azure-openai-api-from-specification)."""

    name: ClassVar[str] = "azure-openai"
    summary: ClassVar[str] = "an Azure OpenAI resource"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the source's options."""
        azure_resource.add_arguments(parser)

    async def plan(self, arguments: Namespace, outside: Outside) -> ImportPlan:
        """What to add for the resource."""
        return await azure_resource.plan(arguments, outside, azure_resource.COMPATIBILITIES[0])
