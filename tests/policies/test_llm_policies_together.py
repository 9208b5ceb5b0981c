"""Policies of one call to a model, one after the other: each finds its own backend, and knows of the others."""

from tests.policies.guarded import document, guarded, policy
from tests.policies.semantic import cached, lookup, status
from tests.policies.semantic import document as cached_document

LIMIT = '<llm-token-limit counter-key="a" tokens-per-minute="{0}" estimate-prompt-tokens="false" {1} />'


def test_content_safety_behind_a_token_limit() -> None:
    with guarded(document(inbound=LIMIT.format(100_000, "") + policy())) as gateway:
        assert gateway.chat("Hello").status_code == 200
        assert gateway.safety.calls and gateway.backend.requests


def test_cached_answers_are_free_unless_the_limit_counts_them() -> None:
    for count, last in (("", 200), ('count-cached-answers="true"', 429)):
        limit = LIMIT.format(40, count + ' reservation="none"')
        with cached(cached_document(lookup(), inbound=limit)) as gateway:
            gateway.says("word " * 12)
            gateway.chat("What is it?")
            gateway.kept()
            answers = [gateway.chat("What is it?") for _ in range(6)]
            assert status(answers[0]) == "exact"
            assert answers[-1].status_code == last, [answer.status_code for answer in answers]
