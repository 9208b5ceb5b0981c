"""The wire schemas whose usage can be read, one file each; to add one: write the file, add it here."""

from collections.abc import Mapping
from functools import lru_cache

from shared.llm.schemas.any_json import ANY_JSON
from shared.llm.schemas.chat_completions import CHAT_COMPLETIONS
from shared.llm.schemas.completions import COMPLETIONS
from shared.llm.schemas.embeddings import EMBEDDINGS
from shared.llm.schemas.generate_content import GENERATE_CONTENT
from shared.llm.schemas.images import IMAGES
from shared.llm.schemas.messages import MESSAGES
from shared.llm.schemas.responses import RESPONSES
from shared.llm.schemas.schema import Schema

SCHEMAS: tuple[Schema, ...] = (CHAT_COMPLETIONS, COMPLETIONS, RESPONSES, EMBEDDINGS, MESSAGES, IMAGES, GENERATE_CONTENT)

# They tell tokens without spending any.
_FREE = ("/messages/count_tokens", "/responses/input_tokens", ":counttokens")
# Nobody's endless paths are remembered.
_LONGEST_KNOWN = 200
_BY_PATH = {ending.lower(): schema for schema in SCHEMAS for ending in schema.paths}


def schema_of(path: str, body: Mapping[str, object]) -> Schema:
    """The schema of a request: by the end of its path, else by the fields its body has; ANY_JSON when neither tells.

    `/chat/completions` ends as `/completions` does, so the longer ending decides.
    """
    found = _by_path(path) if len(path) <= _LONGEST_KNOWN else _by_path.__wrapped__(path)
    if found is not None:
        return found
    if isinstance(body.get("messages"), list):
        return MESSAGES if "anthropic_version" in body else CHAT_COMPLETIONS
    if isinstance(body.get("prompt"), str | list):
        return COMPLETIONS
    return ANY_JSON


@lru_cache(maxsize=1024)
def _by_path(path: str) -> Schema | None:
    # Operations are found whatever the case, so a schema must be as well.
    path = path.rstrip("/").lower().replace("%3a", ":")
    if path.endswith(_FREE):
        return ANY_JSON
    head, _, last = path.rpartition("/")
    if ":" in last:
        last = ":" + last.rpartition(":")[2]
    return _BY_PATH.get(f"{head.rpartition('/')[2]}/{last}") or _BY_PATH.get(last)
