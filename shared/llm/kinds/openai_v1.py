"""Azure's OpenAI v1 surface: the OpenAI operations below `/openai/v1`, model in the body, no api-version."""

from shared.llm.api_kind import ApiKind
from shared.llm.kinds.openai import openai_operations

OPENAI_V1 = ApiKind("openai-v1", "OpenAI v1 (Azure)", openai_operations("/openai/v1"))
