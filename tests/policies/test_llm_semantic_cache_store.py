"""llm-semantic-cache-store: read completely, told as not yet executed."""

import pytest

from tests.policies.running import document, policies, problems
from tests.support.backend import Backend

BACKENDS = {"backends": {"embeddings": "http://127.0.0.1:9/embeddings"}}
STORE = '<{0}-semantic-cache-store duration="120" />'


@pytest.mark.parametrize("name", ["llm", "azure-openai"])
def test_documents_load_and_say_what_does_not_run_yet(name: str, backend: Backend) -> None:
    xml = document(outbound=STORE.format(name))
    assert problems(xml, **BACKENDS) == []
    (warning,) = problems(xml, warnings=True, **BACKENDS)
    assert f"{name}-semantic-cache-store is checked but not yet executed" in warning
    with policies(xml, backend.url, **BACKENDS) as gateway:
        assert gateway.call().status_code == 200


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (STORE.format("llm"), "only in outbound"),
    ],
)
def test_what_is_wrong_is_told_at_load(xml: str, message: str) -> None:
    found = problems(document(inbound=xml), **BACKENDS)
    assert len(found) == 1 and message in found[0], found
