"""What a model costs, as `gateway.yaml` declares it and as the list that comes with the gateway has it."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from shared.config.declared import Declared, Identifier

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]

# OpenTelemetry's gen_ai.provider.name, of the API kinds there are.
Provider = Literal["azure.ai.openai", "azure.ai.inference", "openai", "anthropic"]


class Price(Declared):
    """The price of a model: amounts are for a million tokens."""

    model: str = Field(
        min_length=1,
        description="The model the answer names, or the model or deployment that was asked for. A name is good for its "
        "dated versions too (gpt-4o for gpt-4o-2024-11-20); * stands for any text.",
    )
    input: Amount = Field(description="Of the prompt, as far as nothing below says otherwise.")
    cached_input: Amount | None = Field(
        None, description="Of the prompt as far as it was in the provider's cache; default: input."
    )
    cache_write: Amount | None = Field(
        None, description="Of the prompt as far as it was put into the provider's cache; default: input."
    )
    long_cache_write: Amount | None = Field(
        None, description="The same, to be kept for longer (Anthropic: an hour); default: cache_write."
    )
    audio_input: Amount | None = Field(None, description="Default: input.")
    image_input: Amount | None = Field(None, description="Default: input.")
    output: Amount = Field(description="Of the answer, thoughts included; 0 for embeddings.")
    audio_output: Amount | None = Field(None, description="Default: output.")
    currency: str = Field("USD", pattern=r"^[A-Z]{3}$", description="ISO 4217 code.")
    provider: Provider | None = Field(None, description="Only at this provider (gen_ai.provider.name).")
    backend: Identifier | None = Field(None, description="Only at this backend, such as one that is paid by the hour.")
    above_prompt_tokens: int = Field(
        0, ge=0, description="Only for calls with a longer prompt; the price is that of the whole call."
    )
    valid_from: date | None = Field(None, description="The first day (UTC) on which it is the price.")
