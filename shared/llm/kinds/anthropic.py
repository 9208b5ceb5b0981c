"""Anthropic messages, at Anthropic itself or below `/anthropic` of a Foundry resource."""

from shared.llm.api_kind import ApiKind, OperationTemplate

# https://docs.anthropic.com/en/api
ANTHROPIC = ApiKind(
    "anthropic",
    "Anthropic messages",
    (
        OperationTemplate("messages", "Create message", "POST", "/v1/messages", "chat"),
        OperationTemplate("count-tokens", "Count tokens", "POST", "/v1/messages/count_tokens"),
        OperationTemplate("list-models", "List models", "GET", "/v1/models"),
        OperationTemplate("get-model", "Get model", "GET", "/v1/models/{model-id}"),
        OperationTemplate("create-batch", "Create batch", "POST", "/v1/messages/batches"),
        OperationTemplate("list-batches", "List batches", "GET", "/v1/messages/batches"),
        OperationTemplate("get-batch", "Get batch", "GET", "/v1/messages/batches/{batch-id}"),
        OperationTemplate("get-batch-results", "Get batch results", "GET", "/v1/messages/batches/{batch-id}/results"),
        OperationTemplate("cancel-batch", "Cancel batch", "POST", "/v1/messages/batches/{batch-id}/cancel"),
    ),
    dialect="anthropic",
)
