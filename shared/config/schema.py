"""The JSON Schema of `gateway.yaml`, generated from the models, so that editors complete and check the file."""

import json
from typing import Any

from shared.config.models import Gateway


def schema_text() -> str:
    """The schema as committed in gateway.schema.json."""
    schema = Gateway.model_json_schema(by_alias=True, mode="validation")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "AI gateway configuration"
    _drop_derived(schema)
    _allow_plain_named_values(schema)
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _drop_derived(node: Any) -> None:
    """Ids are the keys things are declared under; nobody writes them."""
    if isinstance(node, dict):
        properties = node.get("properties")
        if isinstance(properties, dict):
            for name in [n for n, value in properties.items() if isinstance(value, dict) and value.get("x-derived")]:
                del properties[name]
        for value in node.values():
            _drop_derived(value)
    elif isinstance(node, list):
        for value in node:
            _drop_derived(value)


def _allow_plain_named_values(schema: dict[str, Any]) -> None:
    reference = {"$ref": "#/$defs/NamedValue"}
    short = {"type": ["string", "number"], "description": "The value itself; not for secrets."}
    schema["properties"]["named_values"]["additionalProperties"] = {"anyOf": [reference, short]}
    schema["properties"]["named_values"].pop("patternProperties", None)
