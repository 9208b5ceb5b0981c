"""The API kinds there are, one file each."""

from shared.llm.api_kind import ApiKind
from shared.llm.kinds.anthropic import ANTHROPIC
from shared.llm.kinds.azure_ai import AZURE_AI
from shared.llm.kinds.azure_openai import AZURE_OPENAI
from shared.llm.kinds.http import HTTP
from shared.llm.kinds.openai import OPENAI
from shared.llm.kinds.openai_v1 import OPENAI_V1
from shared.llm.kinds.passthrough import PASSTHROUGH

API_KINDS: tuple[ApiKind, ...] = (AZURE_OPENAI, AZURE_AI, OPENAI_V1, OPENAI, ANTHROPIC, PASSTHROUGH, HTTP)


def api_kind(name: str) -> ApiKind:
    """The kind of that name; KeyError when there is none."""
    return _BY_NAME[name]


_BY_NAME = {kind.name: kind for kind in API_KINDS}
