"""cache-store-value: what can be cached, where, and that values come back as what they were."""

import pytest

from tests.policies.caching import LOOKUP_VALUE, RETURN, STORE_VALUE, by_method
from tests.support.azurite import Azurite
from tests.support.backend import Backend
from tests.support.policies import document, policies, problems


@pytest.mark.parametrize(
    ("value", "read", "expected"),
    [
        ('"text"', '(string)context.Variables["v"]', "text"),
        ("41", '((int)context.Variables["v"] + 1).ToString()', "42"),
        ("5000000000L", '((long)context.Variables["v"] + 1).ToString()', "5000000001"),
        ("0.5", '((double)context.Variables["v"] * 3).ToString()', "1.5"),
        ("true", '((bool)context.Variables["v"]).ToString()', "True"),
        ("new byte[] { 104, 105 }", 'Encoding.UTF8.GetString((byte[])context.Variables["v"])', "hi"),
        (
            'JObject.Parse("{\\"a\\": {\\"b\\": [1, 2]}}")',
            '((JObject)context.Variables["v"])["a"]["b"][1].ToString()',
            "2",
        ),
        ('new JArray("x", "y")', '((JArray)context.Variables["v"]).Count.ToString()', "2"),
        ('new List<string> { "a", "b" }', 'String.Join("-", (List<string>)context.Variables["v"])', "a-b"),
        (
            'new Dictionary<string, int> { { "a", 7 } }',
            '((Dictionary<string, int>)context.Variables["v"])["a"].ToString()',
            "7",
        ),
        (
            "new DateTime(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc)",
            '((DateTime)context.Variables["v"]).AddHours(1).ToString("s")',
            "2026-01-02T04:04:05",
        ),
        ("TimeSpan.FromMinutes(90)", '((TimeSpan)context.Variables["v"]).TotalHours.ToString()', "1.5"),
        (
            'new Guid("11111111-2222-3333-4444-555555555555")',
            '((Guid)context.Variables["v"]).ToString()',
            "11111111-2222-3333-4444-555555555555",
        ),
        ("1.10m", '((decimal)context.Variables["v"]).ToString()', "1.10"),
        ("null", '(context.Variables["v"] == null).ToString()', "True"),
    ],
)
def test_a_value_comes_back_as_what_it_was(value: str, read: str, expected: str) -> None:
    with policies(by_method(STORE_VALUE % value, LOOKUP_VALUE + RETURN % read)) as gateway:
        assert gateway.call("POST").status_code == 200
        assert gateway.call().text == expected


def test_a_response_cannot_be_cached(backend: Backend) -> None:
    with policies(document(outbound=STORE_VALUE % "context.Response"), backend.url) as gateway:
        assert gateway.call().status_code == 500


def test_prefer_external_is_shared_by_gateways_where_there_is_storage(azurite: Azurite) -> None:
    key = """key='@(context.Request.Headers.GetValueOrDefault("x", ""))'"""
    store = f'<cache-store-value {key} value="shared" duration="60" />'
    lookup = f'<cache-lookup-value {key} variable-name="v" />'
    get = lookup + RETURN % 'context.Variables.GetValueOrDefault<string>("v", "nothing")'
    environment = {"GATEWAY_TABLES_CONNECTION_STRING": azurite.connection_string}
    name = {"x": azurite.table_name()}
    with policies(by_method(store, get), environment=environment) as one:
        with policies(by_method(store, get), environment=environment) as other:
            assert other.call(headers=name).text == "nothing"
            assert one.call("POST", headers=name).status_code == 200
            assert other.call(headers=name).text == "shared"
    with policies(by_method(store, get)) as alone:
        assert alone.call(headers=name).text == "nothing"


def test_what_is_wrong_is_told_at_load() -> None:
    xml = '<cache-store-value key="k" value="v" duration="soon" caching-type="redis" />'
    found = problems(document(inbound=xml))
    assert len(found) == 2 and "attribute caching-type" in found[0] and "attribute duration" in found[1]
