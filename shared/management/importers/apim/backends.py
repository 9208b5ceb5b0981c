"""Backends of API Management: single ones with credentials and circuit breaker, and pools."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from shared.config.backends import error_reason
from shared.config.named_values import REFERENCE
from shared.management.importers.access_key import variable_name
from shared.management.importers.apim.artifacts import Resource
from shared.management.importers.apim.part import Part
from shared.management.importers.importer import Entry, LeftOut, Setting


def backend_part(resource: Resource) -> tuple[Part | None, list[LeftOut]]:
    """A backend or pool, and what of it has no place here."""
    what = f"backend {resource.name}"
    if resource.properties.get("pool") or resource.text("type").lower() == "pool":
        return Part(what, (Entry("backends", resource.name, {**_titles(resource), **_pool(resource)}),)), []
    if not (url := resource.text("url")):
        return None, [LeftOut(what, "it has no URL")]
    if "serviceFabricCluster" in resource.part("properties"):
        return None, [LeftOut(what, "Service Fabric backends are not supported")]
    value: dict[str, Any] = {"url": url, **_titles(resource)}
    credentials, entries, settings = _credentials(resource)
    if credentials:
        value["credentials"] = credentials
    tls = {_snake(name): flag for name, flag in resource.part("tls").items() if flag is False}
    if tls:
        value["tls"] = tls
    left_out = list(_left_out(what, resource))
    if rules := resource.part("circuitBreaker").get("rules"):
        value["circuit_breaker"] = {"rules": [_rule(rule, what, left_out) for rule in rules]}
    own = Entry("backends", resource.name, value)
    return Part(what, (own, *entries), settings=tuple(settings)), left_out


def _titles(resource: Resource) -> dict[str, str]:
    return {name: text for name in ("title", "description") if (text := resource.text(name))}


def _rule(rule: Mapping[str, Any], what: str, left_out: list[LeftOut]) -> dict[str, Any]:
    """A circuit breaker rule. Reasons that no call to a backend ends with here are told."""
    value: dict[str, Any] = _snake_keys(rule)
    if status := (rule.get("failureResponse") or {}).get("statusCode"):
        value["failure_response"] = status
    condition = value.get("failure_condition", {})
    reasons = condition.pop("error_reasons", None) or []
    known = [reason for reason in reasons if error_reason(reason)]
    if known:
        condition["error_reasons"] = known
    for reason in reasons:
        if reason not in known:
            left_out.append(LeftOut(f"error reason {reason} of {what}", "calls to a backend do not end with it here"))
    return value


def _pool(resource: Resource) -> dict[str, Any]:
    pool = resource.part("pool")
    services = []
    for member in pool.get("services") or ():
        service = {"id": str(member.get("id", "")).rsplit("/", 1)[-1]}
        services.append(
            service | {name: member[name] for name in ("priority", "weight") if member.get(name) is not None}
        )
    # In APIM a failure reaches the caller unless a retry policy was written around it; such policies still work.
    value: dict[str, Any] = {"services": services, "failover": True}
    session = (pool.get("sessionAffinity") or {}).get("sessionId") or {}
    if session.get("name"):
        value["session_affinity"] = {"cookie": session["name"]}
    if status := (pool.get("failureResponse") or {}).get("statusCode"):
        value["failure_response"] = status
    return {"pool": value}


def _credentials(resource: Resource) -> tuple[dict[str, Any], list[Entry], list[Setting]]:
    """Credentials with every value that is not a named value already moved into one from the environment."""
    given = resource.part("credentials")
    entries: list[Entry] = []
    settings: list[Setting] = []

    def safe(text: str, name: str) -> str:
        if REFERENCE.search(text):
            return text
        named = f"{resource.name}-{name}".lower()
        variable = variable_name(named)
        entries.append(Entry("named_values", named, {"env": variable}))
        settings.append(Setting(variable, f"{name} of backend {resource.name}"))
        return f"{{{{{named}}}}}"

    credentials: dict[str, Any] = {}
    for kind in ("header", "query"):
        if values := given.get(kind) or {}:
            credentials[kind] = {name: safe(",".join(map(str, texts)), name) for name, texts in values.items()}
    if authorization := given.get("authorization") or {}:
        parameter = safe(str(authorization.get("parameter", "")), "authorization")
        value = f"{authorization.get('scheme', '')} {parameter}".strip()
        credentials.setdefault("header", {})["Authorization"] = value
    if identity := given.get("managedIdentity") or {}:
        taken = {"resource": identity.get("resource"), "client_id": identity.get("clientId")}
        credentials["managed_identity"] = {name: text for name, text in taken.items() if text}
    return credentials, entries, settings


def _left_out(what: str, resource: Resource) -> Iterator[LeftOut]:
    credentials = resource.part("credentials")
    if credentials.get("certificate") or credentials.get("certificateIds"):
        why = "certificates are not in the artifacts; name a PEM file under the backend's tls.client_certificate_file"
        yield LeftOut(f"client certificate of {what}", why)
    if proxy := resource.part("proxy"):
        yield LeftOut(f"proxy {proxy.get('url', '')} of {what}", "the gateway takes its proxy from HTTPS_PROXY")


def _snake_keys(value: Any) -> Any:
    match value:
        case Mapping():
            return {_snake(name): _snake_keys(item) for name, item in value.items()}
        case list():
            return [_snake_keys(item) for item in value]
    return value


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
