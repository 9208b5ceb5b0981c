"""llm-emit-token-metric: read completely, told as not yet executed."""

import pytest

from tests.policies.running import document, policies, problems
from tests.support.backend import Backend

BACKENDS = {"backends": {"embeddings": "http://127.0.0.1:9/embeddings"}}
METRIC = """<{0}-emit-token-metric namespace="openai"><dimension name="Backend ID" />
    <dimension name="User ID" value='@(context.Request.Headers.GetValueOrDefault("x-user-id", "N/A"))' />
</{0}-emit-token-metric>"""


@pytest.mark.parametrize("name", ["llm", "azure-openai"])
def test_documents_load_and_say_what_does_not_run_yet(name: str, backend: Backend) -> None:
    xml = document(inbound=METRIC.format(name))
    assert problems(xml, **BACKENDS) == []
    (warning,) = problems(xml, warnings=True, **BACKENDS)
    assert f"{name}-emit-token-metric is checked but not yet executed" in warning
    with policies(xml, backend.url, **BACKENDS) as gateway:
        assert gateway.call().status_code == 200


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (METRIC.format("llm").replace('namespace="openai"', 'value="2"'), "unknown attribute value"),
        ('<llm-emit-token-metric><dimension name="Mine" /></llm-emit-token-metric>', "dimension Mine needs a value"),
    ],
)
def test_what_is_wrong_is_told_at_load(xml: str, message: str) -> None:
    found = problems(document(inbound=xml), **BACKENDS)
    assert len(found) == 1 and message in found[0], found
