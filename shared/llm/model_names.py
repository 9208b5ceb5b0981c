"""What a model is called in tables of models, whatever it is asked for by."""


def base_name(model: str) -> str:
    """The name of a model, or of a deployment that is named after one, in lower case: without who made it
    (openai/gpt-4o) and, of a fine-tuned one, without the mark before it (ft:gpt-4o-mini-2024-07-18:contoso)."""
    return model.lower().rpartition("/")[2].removeprefix("ft:")
