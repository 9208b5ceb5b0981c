"""llm-semantic-cache-lookup: read completely, told as not yet executed."""

import pytest

from tests.policies.running import document, policies, problems
from tests.support.backend import Backend

BACKENDS = {"backends": {"embeddings": "http://127.0.0.1:9/embeddings"}}
LOOKUP = """<{0}-semantic-cache-lookup score-threshold="0.05" embeddings-backend-id="embeddings"
    embeddings-backend-auth="system-assigned" ignore-system-messages="true" max-message-count="10">
  <vary-by>@(context.Subscription.Id)</vary-by></{0}-semantic-cache-lookup>"""


@pytest.mark.parametrize("name", ["llm", "azure-openai"])
def test_documents_load_and_say_what_does_not_run_yet(name: str, backend: Backend) -> None:
    xml = document(inbound=LOOKUP.format(name))
    assert problems(xml, **BACKENDS) == []
    (warning,) = problems(xml, warnings=True, **BACKENDS)
    assert f"{name}-semantic-cache-lookup is checked but not yet executed" in warning
    with policies(xml, backend.url, **BACKENDS) as gateway:
        assert gateway.call().status_code == 200


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (LOOKUP.format("llm").replace("0.05", "1.5"), "attribute score-threshold"),
        (LOOKUP.format("llm").replace("system-assigned", "key"), "attribute embeddings-backend-auth"),
        (LOOKUP.format("llm").replace('"embeddings"', '"none"'), "no backend none"),
        (LOOKUP.format("llm") * 2, "can be used only once in inbound"),
    ],
)
def test_what_is_wrong_is_told_at_load(xml: str, message: str) -> None:
    found = problems(document(inbound=xml), **BACKENDS)
    assert len(found) == 1 and message in found[0], found
