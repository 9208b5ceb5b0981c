"""The whole service as parts: every resource of the artifacts, in the order they are written."""

from shared.management.importers.apim.apis import REVISION, api_part
from shared.management.importers.apim.artifacts import KINDS, Resource, kinds_in
from shared.management.importers.apim.backends import backend_part
from shared.management.importers.apim.diagnostics import diagnostics_parts
from shared.management.importers.apim.named_values import named_value_parts
from shared.management.importers.apim.others import fragment_part, left_out_kind, logger_part, schema_part
from shared.management.importers.apim.part import Part
from shared.management.importers.apim.products import product_part
from shared.management.importers.importer import Entry, LeftOut


def service_parts(service: Resource) -> tuple[list[Part], list[LeftOut]]:
    """What the resources become, and what has no place here."""
    parts: list[Part] = []
    left_out: list[LeftOut] = []

    def take(result: tuple[Part | None, list[LeftOut]]) -> None:
        part, notes = result
        parts.extend([part] if part is not None else [])
        left_out.extend(notes)

    products = {product.name: product.links("apis") for product in service.resources("products")}
    for backend in service.resources("backends"):
        take(backend_part(backend))
    parts += [product_part(product) for product in service.resources("products")]
    for api in service.resources("apis"):
        id = api.name.partition(REVISION)[0]
        take(api_part(api, service, [product for product, apis in products.items() if id in apis]))
    for fragment in service.resources("policyfragments"):
        take(fragment_part(fragment))
    for schema in service.resources("schemas"):
        take(schema_part(schema))
    for logger in service.resources("loggers"):
        take(logger_part(logger))
    found, notes = diagnostics_parts(service)
    parts += found
    left_out += notes
    if service.policy is not None:
        file = "policies/policy.xml"
        parts.append(Part("the global policy", (Entry("policy", "", file),), {file: service.policy}))
    values, notes = named_value_parts(service)
    left_out += notes
    for kind in KINDS:
        left_out += [LeftOut(f"{kind} {one.name}", one.problem) for one in service.unreadable(kind)]
    for kind, names in kinds_in(service):
        if kind not in KINDS:
            left_out.extend(left_out_kind(kind, names))
    return [*values, *parts], left_out
