"""What an API kind declares: its operations, how it names the model, and how it words an error."""

from dataclasses import dataclass
from typing import Literal

Dialect = Literal["openai", "anthropic", "google"]


@dataclass(frozen=True, slots=True)
class OperationTemplate:
    """One operation of a kind: APIM id and display name, method, URL template, and what it does.

    `genai` is OpenTelemetry's `gen_ai.operation.name` (chat, text_completion, embeddings, ...), empty when it has none.
    A template may end in `?name={name}`: such query parameters are required, as in APIM.
    """

    id: str
    display_name: str
    method: str
    url_template: str
    genai: str = ""


@dataclass(frozen=True, slots=True)
class ApiKind:
    """One kind of LLM API. `model_in` says where a caller names the model: in the path, in the body, or nowhere."""

    name: str
    display_name: str
    operations: tuple[OperationTemplate, ...]
    dialect: Dialect = "openai"
    model_in: Literal["path", "body"] | None = "body"
