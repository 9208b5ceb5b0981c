"""Passthrough: whatever the backend speaks (Bedrock, for example), by wildcard operations on the common verbs."""

from shared.llm.api_kind import ApiKind, OperationTemplate

VERBS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")

PASSTHROUGH = ApiKind(
    "passthrough",
    "Passthrough",
    tuple(OperationTemplate(f"{verb.lower()}-all", f"{verb} anything", verb, "/*") for verb in VERBS),
    model_in=None,
)
