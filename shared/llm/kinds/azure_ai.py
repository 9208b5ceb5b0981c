"""Azure AI model inference: operations below `/models`, model in the body, `api-version` required."""

from shared.llm.api_kind import ApiKind, OperationTemplate


def _operation(id: str, name: str, method: str, path: str, genai: str = "") -> OperationTemplate:
    return OperationTemplate(id, name, method, f"/models{path}?api-version={{api-version}}", genai)


# https://learn.microsoft.com/rest/api/aifoundry/modelinference/
AZURE_AI = ApiKind(
    "azure-ai",
    "Azure AI model inference",
    (
        _operation("getChatCompletions", "Create chat completion", "POST", "/chat/completions", "chat"),
        _operation("getEmbeddings", "Create embeddings", "POST", "/embeddings", "embeddings"),
        _operation("getImageEmbeddings", "Create image embeddings", "POST", "/images/embeddings", "embeddings"),
        _operation("getModelInfo", "Get model info", "GET", "/info"),
    ),
)
