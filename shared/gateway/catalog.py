"""Everything compiled for one version of the configuration; swapped whole when it changes."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shared.backends.target import Target, compile_backend
from shared.config.certificates import read_certificate
from shared.config.loader import Loaded, products_of
from shared.config.models import Api, Gateway, Operation, Product
from shared.config.named_values import NamedValues
from shared.config.openapi import operations_of
from shared.config.plain_data import plain_data
from shared.errors import ConfigError
from shared.gateway.authorize import Access
from shared.gateway.llm_logging import LlmLogging
from shared.gateway.match import Apis, Operations, compile_template
from shared.llm.api_kind import ApiKind
from shared.llm.kinds import api_kind
from shared.policies.documents import PolicyDocuments, compile_documents


@dataclass(frozen=True, slots=True)
class Route:
    """An API made ready: its operations, who may call it, what kind it is, what of its calls is logged."""

    api: Api
    kind: ApiKind
    access: Access
    operations: Operations[Operation]
    llm_logging: LlmLogging | None = None


@dataclass(frozen=True, slots=True)
class Catalog:
    """A configuration ready to serve. A request keeps the catalog it started with."""

    gateway: Gateway
    named_values: NamedValues
    routes: Apis[Route]
    targets: dict[str, Target]
    documents: PolicyDocuments


def compile_catalog(loaded: Loaded) -> Catalog:
    """Compile a loaded configuration. ConfigError with all problems, those of the loading included."""
    gateway = loaded.gateway
    if gateway is None:
        if loaded.sound is not None:
            compile_catalog(replace(loaded, gateway=loaded.sound))  # raises, with what is wrong with the rest as well
        raise ConfigError(loaded.problems)
    folder = loaded.file.parent
    routes = [(api.path, _route(gateway, api, _operations(loaded, folder, api))) for api in gateway.apis.values()]
    _read_certificates(loaded, gateway, folder)
    _read_schemas(loaded, gateway, folder)
    documents = compile_documents(loaded, {route.api.id: route.operations.targets for _, route in routes})
    targets = {}
    for id, backend in gateway.backends.items():
        if backend.pool is not None:
            continue
        try:
            targets[id] = compile_backend(id, backend, folder)
        except (OSError, ValueError) as error:
            loaded.problem(("backends", id), str(error))
    if any(problem.severity == "error" for problem in loaded.problems):
        raise ConfigError(loaded.problems)
    return Catalog(gateway, loaded.named_values, Apis(routes), targets, documents)


def _read_certificates(loaded: Loaded, gateway: Gateway, folder: Path) -> None:
    for id, certificate in gateway.certificates.items():
        written = loaded.tree["certificates"][id]
        try:
            if any(loaded.named_values.is_open(str(written.get(name) or "")) for name in ("value", "password")):
                if certificate.file is not None:  # whether it can be opened is not known here
                    (folder / certificate.file).read_bytes()
            else:
                loaded.certificates[id] = read_certificate(certificate, folder)
        except (OSError, ValueError) as error:
            loaded.problem(("certificates", id), str(error))


def _read_schemas(loaded: Loaded, gateway: Gateway, folder: Path) -> None:
    for id, file in gateway.schemas.items():
        try:
            loaded.schemas[id] = (
                (folder / file).read_bytes() if file.lower().endswith(".xsd") else read_document(folder / file)
            )
        except (OSError, ValueError) as error:
            loaded.problem(("schemas", id), f"{file}: {error}")


def _route(gateway: Gateway, api: Api, operations: list[Operation]) -> Route:
    products: tuple[Product, ...] = tuple(products_of(gateway, api.id))
    templates = [compile_template(operation, operation.method, operation.url_template) for operation in operations]
    llm_logging = LlmLogging.of(gateway.diagnostics, api)
    return Route(api, api_kind(api.kind), Access.of(api, products), Operations(templates), llm_logging)


def _operations(loaded: Loaded, folder: Path, api: Api) -> list[Operation]:
    """The operations of an API: declared, from its OpenAPI document, or its kind's own."""
    declared = list(api.operations or ())
    if api.openapi is not None:
        known = {operation.id for operation in declared}
        declared += [found for found in _from_openapi(loaded, folder, api) if found.id not in known]
    if declared or api.kind == "http":
        return declared
    return [
        Operation.model_validate(
            {
                "id": template.id,
                "display_name": template.display_name,
                "method": template.method,
                "url_template": template.url_template,
                "genai": template.genai,
            }
        )
        for template in api_kind(api.kind).operations
    ]


def _from_openapi(loaded: Loaded, folder: Path, api: Api) -> list[Operation]:
    from shared.config.definition import DocumentDefinition  # here, as most APIs have their kind's operations
    from shared.config.responses import DocumentResponses

    assert api.openapi is not None
    try:
        document = read_document(folder / api.openapi)
        operations = [Operation.model_validate(fields) for fields in operations_of(document)]
        loaded.responses[api.id] = DocumentResponses(document)
        loaded.definitions[api.id] = DocumentDefinition(document)
        return operations
    except OSError as error:
        loaded.problem(("apis", api.id, "openapi"), f"{api.openapi} cannot be read: {error.strerror}")
    except ValueError as error:  # pydantic's ValidationError is one
        loaded.problem(("apis", api.id, "openapi"), f"{api.openapi}: {str(error).splitlines()[0]}")
    return []


def read_document(file: Path) -> Any:
    """A JSON or YAML file as plain data. ValueError when it is neither."""
    return plain_data(file.read_text(encoding="utf-8"))
