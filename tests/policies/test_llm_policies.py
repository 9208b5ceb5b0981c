"""The LLM policies whose engines follow: read completely, told as not yet executed, and content safety never open."""

import pytest

from tests.policies.running import document, policies, problems
from tests.support.backend import Backend

BACKENDS = {"backends": {"embeddings": "http://127.0.0.1:9/embeddings", "safety": "http://127.0.0.1:9"}}
SAFETY = """<llm-content-safety backend-id="safety" shield-prompt="true" enforce-on-completions="true"
    window-size="1000" window-overlap-size="100">
  <categories output-type="EightSeverityLevels">
    <category name="Hate" threshold="4" /><category name="Violence" threshold="@(2 + 2)" />
  </categories>
  <blocklists><id>words</id><id>@("more" + "words")</id></blocklists>
</llm-content-safety>"""
METRIC = """<{0}-emit-token-metric namespace="openai"><dimension name="Backend ID" />
    <dimension name="User ID" value='@(context.Request.Headers.GetValueOrDefault("x-user-id", "N/A"))' />
</{0}-emit-token-metric>"""
LOOKUP = """<{0}-semantic-cache-lookup score-threshold="0.05" embeddings-backend-id="embeddings"
    embeddings-backend-auth="system-assigned" ignore-system-messages="true" max-message-count="10">
  <vary-by>@(context.Subscription.Id)</vary-by></{0}-semantic-cache-lookup>"""
STORE = '<{0}-semantic-cache-store duration="120" />'


@pytest.mark.parametrize("name", ["llm", "azure-openai"])
def test_documents_load_and_say_what_does_not_run_yet(name: str, backend: Backend) -> None:
    xml = document(inbound=LOOKUP.format(name) + METRIC.format(name), outbound=STORE.format(name))
    assert problems(xml, **BACKENDS) == []
    warnings = problems(xml, warnings=True, **BACKENDS)
    for element in ("semantic-cache-lookup", "semantic-cache-store", "emit-token-metric"):
        assert sum(f"{name}-{element} is checked but not yet executed" in warning for warning in warnings) == 1
    with policies(xml, backend.url, **BACKENDS) as gateway:
        assert gateway.call().status_code == 200


def api(xml: str) -> dict[str, object]:
    """Content safety may not stand at operation scope."""
    return {"files": {"api.xml": xml}, "api": {"policy": "api.xml", "subscription_required": False}, **BACKENDS}


def test_content_that_cannot_be_checked_does_not_pass(backend: Backend) -> None:
    declared = api(document(inbound=SAFETY))
    assert problems(document(inbound="<base />"), **declared) == []
    with policies(document(inbound="<base />", outbound="<base />"), backend.url, **declared) as gateway:
        answer = gateway.call()
        assert answer.status_code == 503
        assert "Content safety is required for this API" in answer.json()["message"]
    assert backend.requests == []


def test_only_an_app_setting_lets_unchecked_content_pass(backend: Backend) -> None:
    declared = api(document(inbound=SAFETY))
    for value, status in (("true", 200), ("false", 503), ("yes", 503)):
        environment = {"GATEWAY_ALLOW_UNENFORCED_SAFETY": value}
        with policies(document(inbound="<base />"), backend.url, environment=environment, **declared) as gateway:
            assert gateway.call().status_code == status


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (SAFETY, "llm-content-safety is not allowed at operation scope"),
        (METRIC.format("llm").replace('namespace="openai"', 'value="2"'), "unknown attribute value"),
        ('<llm-emit-token-metric><dimension name="Mine" /></llm-emit-token-metric>', "dimension Mine needs a value"),
        (LOOKUP.format("llm").replace("0.05", "1.5"), "attribute score-threshold"),
        (LOOKUP.format("llm").replace("system-assigned", "key"), "attribute embeddings-backend-auth"),
        (LOOKUP.format("llm").replace('"embeddings"', '"none"'), "no backend none"),
        (LOOKUP.format("llm") * 2, "can be used only once in inbound"),
        (STORE.format("llm"), "only in outbound"),
    ],
)
def test_what_is_wrong_is_told_at_load(xml: str, message: str) -> None:
    found = problems(document(inbound=xml), **BACKENDS)
    assert len(found) == 1 and message in found[0], found


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"Hate"', '"Rudeness"', "attribute name"),
        ('"4"', '"8"', "attribute threshold"),
        ("EightSeverityLevels", "TenSeverityLevels", "attribute output-type"),
        ('"safety"', '"none"', "no backend none"),
        ("<blocklists>", "<blocklists><name>x</name>", "unknown element name in blocklists"),
    ],
)
def test_mistakes_in_content_safety_are_told(old: str, new: str, message: str) -> None:
    found = problems(document(inbound="<base />"), **api(document(inbound=SAFETY.replace(old, new))))
    assert len(found) == 1 and message in found[0], found
