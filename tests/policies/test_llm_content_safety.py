"""llm-content-safety: what its document may say."""

import pytest

from tests.support.policies import document, problems

BACKENDS = {"backends": {"safety": "http://127.0.0.1:9"}}


SAFETY = """<llm-content-safety backend-id="safety" shield-prompt="true" enforce-on-completions="true"
    window-size="1000" window-overlap-size="100">
  <categories output-type="EightSeverityLevels">
    <category name="Hate" threshold="4" /><category name="Violence" threshold="@(2 + 2)" />
  </categories>
  <blocklists><id>words</id><id>@("more" + "words")</id></blocklists>
</llm-content-safety>"""


def api(xml: str) -> dict[str, object]:
    """Content safety may not stand at operation scope."""
    return {"files": {"api.xml": xml}, "api": {"policy": "api.xml", "subscription_required": False}, **BACKENDS}


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
    assert problems(document(inbound="<base />"), **api(document(inbound=SAFETY))) == []
    found = problems(document(inbound="<base />"), **api(document(inbound=SAFETY.replace(old, new))))
    assert len(found) == 1 and message in found[0], found


def test_it_stands_above_operations_only() -> None:
    assert "not allowed at operation scope" in problems(document(inbound=SAFETY), **BACKENDS)[0]


def test_what_makes_no_sense_is_told() -> None:
    empty = api(document(inbound='<llm-content-safety backend-id="safety" />'))
    assert "checks nothing" in problems(document(inbound="<base />"), warnings=True, **empty)[0]
    member = {"url": "http://127.0.0.1:9"}
    backends = {"safety": {"pool": {"services": [{"id": "one"}]}}, "one": member}
    pool = {**api(document(inbound=SAFETY)), "backends": backends}
    assert "is a pool" in problems(document(inbound="<base />"), **pool)[0]
    rule = {"name": "r", "failure_condition": {"count": 1, "interval": "PT1M", "error_reasons": ["Timeout"]}}
    breaker = {"rules": [{**rule, "trip_duration": "PT1M"}]}
    broken = {**api(document(inbound=SAFETY)), "backends": {"safety": {**member, "circuit_breaker": breaker}}}
    assert "has no part" in problems(document(inbound="<base />"), warnings=True, **broken)[0]
