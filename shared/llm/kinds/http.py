"""HTTP API: operations come from an OpenAPI document or from the declaration itself."""

from shared.llm.api_kind import ApiKind

HTTP = ApiKind("http", "HTTP", (), model_in=None)
