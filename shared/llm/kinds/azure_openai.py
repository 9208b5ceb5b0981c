"""Azure OpenAI: the deployment is in the path, `api-version` is required."""

from shared.llm.api_kind import ApiKind, OperationTemplate


def _operation(id: str, name: str, method: str, path: str, genai: str = "") -> OperationTemplate:
    return OperationTemplate(id, name, method, f"{path}?api-version={{api-version}}", genai)


def _deployment(id: str, name: str, path: str, genai: str) -> OperationTemplate:
    return _operation(id, name, "POST", f"/deployments/{{deployment-id}}{path}", genai)


# Operation ids are those of the Azure OpenAI inference specification where it has one
# (Azure/azure-rest-api-specs, cognitiveservices/data-plane/AzureOpenAI/inference).
AZURE_OPENAI = ApiKind(
    "azure-openai",
    "Azure OpenAI",
    (
        _deployment("ChatCompletions_Create", "Create chat completion", "/chat/completions", "chat"),
        _deployment("Completions_Create", "Create completion", "/completions", "text_completion"),
        _deployment("embeddings_create", "Create embeddings", "/embeddings", "embeddings"),
        _deployment("ImageGenerations_Create", "Generate image", "/images/generations", "generate_content"),
        _deployment("ImageEdits_Create", "Edit image", "/images/edits", "generate_content"),
        _deployment("Transcriptions_Create", "Transcribe audio", "/audio/transcriptions", "generate_content"),
        _deployment("Translations_Create", "Translate audio", "/audio/translations", "generate_content"),
        _deployment("Speech_Create", "Create speech", "/audio/speech", "generate_content"),
        _operation("Responses_Create", "Create response", "POST", "/responses", "chat"),
        _operation("Responses_Get", "Get response", "GET", "/responses/{response-id}"),
        _operation("Responses_Delete", "Delete response", "DELETE", "/responses/{response-id}"),
        _operation("Responses_Cancel", "Cancel response", "POST", "/responses/{response-id}/cancel"),
        _operation("Responses_InputItems", "List input items", "GET", "/responses/{response-id}/input_items"),
        _operation("Models_List", "List models", "GET", "/models"),
        _operation("Models_Get", "Get model", "GET", "/models/{model-id}"),
        _operation("Deployments_List", "List deployments", "GET", "/deployments"),
        _operation("Deployments_Get", "Get deployment", "GET", "/deployments/{deployment-id}"),
    ),
    model_in="path",
)
