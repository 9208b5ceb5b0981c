"""The sources an API can be imported from, one file each."""

from shared.management.importers.apim import Apim
from shared.management.importers.azure_openai import AzureOpenAi
from shared.management.importers.foundry import Foundry
from shared.management.importers.importer import Importer
from shared.management.importers.language_model import Anthropic, OpenAiCompatible, Passthrough
from shared.management.importers.openapi import OpenApi

IMPORTERS: tuple[Importer, ...] = (
    AzureOpenAi(),
    Foundry(),
    OpenAiCompatible(),
    Anthropic(),
    Passthrough(),
    OpenApi(),
    Apim(),
)
