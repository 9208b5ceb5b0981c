"""Imports a language-model API that is no Azure resource: OpenAI-compatible, Anthropic, or passed through unread."""

from argparse import ArgumentParser, Namespace
from typing import Any, ClassVar

from shared.management.importers import access_key, api_settings, llm_api
from shared.management.importers.importer import ImportPlan, Outside
from shared.management.importers.llm_api import Source
from shared.management.importers.llm_backend import backend_url, managed_identity


class LanguageModelApi:
    """Wizard "Language Model API" (https://learn.microsoft.com/azure/api-management/openai-compatible-llm-api)."""

    name: ClassVar[str]
    summary: ClassVar[str]
    url_help: ClassVar[str]
    key_header: ClassVar[str] = "Authorization"
    dropped_ends: ClassVar[tuple[str, ...]] = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the source's options."""
        parser.add_argument("--url", required=True, help=self.url_help)
        access_key.add_arguments(parser, what="the API", default_header=self.key_header)
        identity = parser.add_argument_group("managed identity, instead of an access key")
        identity.add_argument("--identity-resource", metavar="URL", help="token audience, such as https://ml.azure.com")
        identity.add_argument("--client-id", metavar="GUID", help="user-assigned identity (default: the app's own)")
        llm_api.add_arguments(parser)

    async def plan(self, arguments: Namespace, outside: Outside) -> ImportPlan:
        """What to add for the API behind the URL."""
        url = backend_url(arguments.url, option="--url")
        for end in self.dropped_ends:
            url = url.removesuffix(end)
        api = api_settings.from_arguments(arguments)
        key = access_key.from_arguments(arguments, outside, api_id=api.id, default_header=self.key_header)
        credentials: dict[str, Any] = key.credentials if key else {}
        if arguments.identity_resource:
            credentials = managed_identity(arguments.identity_resource, arguments.client_id)
        return llm_api.plan(arguments, outside, api, Source(self.name, api.path, url, credentials, key))


class OpenAiCompatible(LanguageModelApi):
    """Its type "Create OpenAI API"."""

    name = "openai"
    summary = "an OpenAI-compatible API (OpenAI, vLLM, Gemini, Mistral, ...)"
    url_help = "what an OpenAI SDK takes as base URL, such as https://api.openai.com/v1"
    dropped_ends = ("/chat/completions",)


class Passthrough(LanguageModelApi):
    """Its type "Create a passthrough API"."""

    name = "passthrough"
    summary = "any other API, passed through (Bedrock, ...)"
    url_help = "base URL; every path below it can be called"


class Anthropic(LanguageModelApi):
    """The Anthropic messages API at Anthropic itself; at Foundry it is a client compatibility."""

    name = "anthropic"
    summary = "the Anthropic messages API"
    url_help = "base URL without /v1, such as https://api.anthropic.com"
    key_header = "x-api-key"
    dropped_ends = ("/messages", "/v1")
