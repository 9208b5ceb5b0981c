"""What of the calls to models is logged: API Management's diagnostic entity, as far as it is about language models."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from shared.config.declared import Declared

SMALLEST_LOGGED, LARGEST_LOGGED = 1_024, 2_097_152
"""Bytes of the messages of one direction: the least and the most that can be asked for
(https://learn.microsoft.com/azure/api-management/api-management-howto-llm-logs)."""

Switch = Literal["enabled", "disabled"]
Size = Annotated[int, Field(ge=SMALLEST_LOGGED, le=LARGEST_LOGGED)]


class LoggedMessages(Declared):
    """Messages of one direction: prompts or completions.

    https://learn.microsoft.com/azure/templates/microsoft.apimanagement/service/apis/diagnostics
    """

    messages: Literal["all", "none"] = "none"
    max_size_in_bytes: Size = Field(32_768, description="What is longer is cut, and marked as cut.")


class Redaction(Declared):
    """What must not leave the process: every match of a pattern in a prompt or completion is replaced."""

    pattern: str = Field(
        min_length=1, description="Regular expression of the Python package regex; (?i) ignores the case of letters."
    )
    replacement: str = Field("[redacted]", description=r"May refer to groups, as \1 or \g<name>.")

    @field_validator("pattern")
    @classmethod
    def _pattern(cls, value: str) -> str:
        import regex  # type: ignore[import-untyped]  # here, as few configurations have a rule

        try:
            found = regex.compile(value).search("")
        except regex.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        if found is not None:
            raise ValueError("matches the empty text, so it would redact between all characters")
        return value

    @model_validator(mode="after")
    def _groups(self) -> "Redaction":
        import regex

        try:
            # The empty alternative matches, so that the replacement is read; a line feed ends a comment before it.
            regex.compile(self.pattern + "\n|").sub(self.replacement, "")
        except (regex.error, IndexError) as error:
            raise ValueError(f"replacement does not fit the pattern: {error}") from error
        return self


class LargeLanguageModel(Declared):
    """The log of calls to models: token counts of each, and on wish prompts and completions."""

    logs: Switch = "disabled"
    requests: LoggedMessages = Field(default_factory=LoggedMessages, description="Prompts.")
    responses: LoggedMessages = Field(default_factory=LoggedMessages, description="Completions.")
    redact: tuple[Redaction, ...] = Field(
        (), description="Applied in order to each text of prompts and completions. Those of the top level always hold."
    )


class Diagnostics(Declared):
    """What an API logs. As in API Management that of an API replaces the one of all APIs (the top level's) as a whole,
    but for the redactions, which add up."""

    large_language_model: LargeLanguageModel = Field(default_factory=LargeLanguageModel)
