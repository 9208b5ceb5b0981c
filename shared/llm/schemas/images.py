"""Images: https://platform.openai.com/docs/api-reference/images"""

from shared.llm.schemas.schema import Body, Count, Schema, choices_of, text

# gpt-image-1, high quality, portrait or landscape: the most one image costs
# (https://platform.openai.com/docs/guides/image-generation#cost-and-latency).
_MOST_PER_IMAGE = 6_240


class Images(Schema):
    """The GPT image models report usage, in documents and in the last event of a stream; DALL-E reports none."""

    name = "images"
    says_text = False
    paths = ("images/generations", "images/edits")

    def max_tokens(self, body: Body) -> int | None:
        """What the largest images would cost."""
        return _MOST_PER_IMAGE * choices_of(body)

    def prompt_tokens(self, body: Body, model: str, count: Count) -> int:
        """The text of the prompt."""
        return count(text(body.get("prompt")))


IMAGES = Images()
