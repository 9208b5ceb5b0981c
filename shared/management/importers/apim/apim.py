"""Imports a whole API Management service: what its artifact folder has, as far as it runs here."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from shared.management.importers.apim.artifacts import Resource, open_artifacts
from shared.management.importers.apim.named_values import without_unused
from shared.management.importers.apim.part import Part
from shared.management.importers.apim.products import subscription_command
from shared.management.importers.importer import ImportFailed, ImportPlan, LeftOut, Outside


class Apim:
    """What `apiops extract` (https://azure.github.io/apiops) wrote. Policy documents are taken over as they are; a
    resource that cannot run here is left out and told, never imported without a policy it has."""

    name: ClassVar[str] = "apim"
    summary: ClassVar[str] = "a whole API Management service, from the artifact folder of an APIOps extractor"

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the source's options."""
        parser.usage = "%(prog)s [options] FOLDER"
        parser.add_argument("folder", metavar="FOLDER", type=Path, help="the extractor's output folder")

    async def plan(self, arguments: Namespace, outside: Outside) -> ImportPlan:
        """What to add for the folder. ImportFailed when it has no artifacts, or its global policy cannot run."""
        from shared.management.importers.apim.runnable import runnable  # with these comes the whole gateway
        from shared.management.importers.apim.service import service_parts

        service = open_artifacts(arguments.folder)
        parts, left_out = service_parts(service)
        if not any(part.entries[0].section == "apis" for part in parts):
            raise ImportFailed("\n".join(["there is no API to import", *map(str, left_out)]))
        parts, more = await runnable(parts)
        parts, unused = without_unused(parts)
        left_out += [*more, *unused]
        commands, more = _subscriptions(service, parts)
        return ImportPlan(
            entries=[entry for part in parts for entry in part.entries],
            documents={name: text for part in parts for name, text in part.documents.items()},
            settings=[setting for part in parts for setting in part.settings],
            notes=[*_notes(parts), *commands],
            left_out=[*left_out, *more],
        )


def _subscriptions(service: Resource, parts: list[Part]) -> tuple[list[str], list[LeftOut]]:
    """The commands that bring the subscriptions, under a line that says where the keys come from."""
    apis, products = _ids(parts, "apis"), _ids(parts, "products")
    found = [subscription_command(one, apis, products) for one in service.resources("subscriptions")]
    commands = [one for one in found if isinstance(one, str)]
    heading = [
        "",
        "Subscriptions: the artifacts have no keys. Put those callers use (az rest --method post --url "
        "'<service id>/subscriptions/<name>/listSecrets?api-version=2022-08-01') into the variables, then run:",
    ]
    return [*heading, *commands] if commands else [], [one for one in found if isinstance(one, LeftOut)]


def _ids(parts: list[Part], section: str) -> set[str]:
    return {entry.id for part in parts for entry in part.entries if entry.section == section}


def _notes(parts: list[Part]) -> Iterator[str]:
    yield (
        "As in API Management, callers' own Authorization and api-key pass on to backends; where they should not, set "
        "forward_caller_credentials to false."
    )
    texts = [text for part in parts for text in part.documents.values()]
    entries = [str(entry.value) for part in parts for entry in part.entries]
    if any("authentication-managed-identity" in text for text in texts) or any(
        "managed_identity" in one for one in entries
    ):
        yield "The gateway's identity needs the roles on the backends that API Management's identity has."
