"""OpenAI-compatible endpoints: the OpenAI operations below any base path, model in the body."""

from shared.llm.api_kind import ApiKind, OperationTemplate


def openai_operations(prefix: str = "") -> tuple[OperationTemplate, ...]:
    """The OpenAI REST operations (https://platform.openai.com/docs/api-reference), each template below `prefix`."""
    rows = (
        ("create-chat-completion", "Create chat completion", "POST", "/chat/completions", "chat"),
        ("list-chat-completions", "List chat completions", "GET", "/chat/completions", ""),
        ("get-chat-completion", "Get chat completion", "GET", "/chat/completions/{completion-id}", ""),
        ("update-chat-completion", "Update chat completion", "POST", "/chat/completions/{completion-id}", ""),
        ("delete-chat-completion", "Delete chat completion", "DELETE", "/chat/completions/{completion-id}", ""),
        (
            "get-chat-completion-messages",
            "Get chat messages",
            "GET",
            "/chat/completions/{completion-id}/messages",
            "",
        ),
        ("create-completion", "Create completion", "POST", "/completions", "text_completion"),
        ("create-response", "Create response", "POST", "/responses", "chat"),
        ("count-response-tokens", "Count input tokens", "POST", "/responses/input_tokens", ""),
        ("compact-response", "Compact a conversation", "POST", "/responses/compact", "chat"),
        ("get-response", "Get response", "GET", "/responses/{response-id}", ""),
        ("delete-response", "Delete response", "DELETE", "/responses/{response-id}", ""),
        ("cancel-response", "Cancel response", "POST", "/responses/{response-id}/cancel", ""),
        ("list-response-input-items", "List input items", "GET", "/responses/{response-id}/input_items", ""),
        ("create-embedding", "Create embeddings", "POST", "/embeddings", "embeddings"),
        ("create-image", "Create image", "POST", "/images/generations", "generate_content"),
        ("create-image-edit", "Create image edit", "POST", "/images/edits", "generate_content"),
        ("create-image-variation", "Create image variation", "POST", "/images/variations", "generate_content"),
        ("create-speech", "Create speech", "POST", "/audio/speech", "generate_content"),
        ("create-transcription", "Create transcription", "POST", "/audio/transcriptions", "generate_content"),
        ("create-translation", "Create translation", "POST", "/audio/translations", "generate_content"),
        ("create-moderation", "Create moderation", "POST", "/moderations", ""),
        ("list-models", "List models", "GET", "/models", ""),
        ("get-model", "Get model", "GET", "/models/{model}", ""),
        ("delete-model", "Delete a fine-tuned model", "DELETE", "/models/{model}", ""),
        ("list-files", "List files", "GET", "/files", ""),
        ("create-file", "Upload file", "POST", "/files", ""),
        ("get-file", "Get file", "GET", "/files/{file-id}", ""),
        ("delete-file", "Delete file", "DELETE", "/files/{file-id}", ""),
        ("download-file", "Download file", "GET", "/files/{file-id}/content", ""),
        ("list-batches", "List batches", "GET", "/batches", ""),
        ("create-batch", "Create batch", "POST", "/batches", ""),
        ("get-batch", "Get batch", "GET", "/batches/{batch-id}", ""),
        ("cancel-batch", "Cancel batch", "POST", "/batches/{batch-id}/cancel", ""),
    )
    return tuple(
        OperationTemplate(id, name, method, prefix + template, genai) for id, name, method, template, genai in rows
    )


OPENAI = ApiKind("openai", "OpenAI-compatible", openai_operations())
