"""Versions of APIs: those in the path are part of it here, others cannot be told apart."""

from shared.management.importers.apim.artifacts import Resource


def path_of(resource: Resource, service: Resource) -> str:
    """The whole path callers use. ValueError when API Management would tell the API by more than its path.

    https://learn.microsoft.com/azure/api-management/api-management-versions
    """
    path, version = resource.text("path").strip("/"), resource.text("apiVersion")
    version_set = resource.text("apiVersionSetId").rsplit("/", 1)[-1]
    if not version or not version_set:
        return path
    found = next((one for one in service.resources("versionsets") if one.name == version_set), None)
    if found is None:
        raise ValueError(f"the artifacts do not tell how version set {version_set} tells versions apart")
    scheme = found.text("versioningScheme")
    if scheme == "Segment":
        return f"{path}/{version}".strip("/")
    name = found.text("versionHeaderName") or found.text("versionQueryName")
    where = f"{'header' if scheme == 'Header' else 'query parameter'} {name}".strip()
    raise ValueError(f"callers choose version {version} by the {where}; only versions in the path are told apart here")
