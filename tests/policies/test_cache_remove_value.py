"""cache-remove-value: what is removed is gone."""

from tests.policies.caching import LOOKUP_VALUE, RETURN, STORE_VALUE, by_method
from tests.support.policies import policies


def test_a_removed_value_and_one_whose_time_is_over_are_gone() -> None:
    remove = '<cache-remove-value key="k" caching-type="internal" />'
    get = LOOKUP_VALUE + RETURN % 'context.Variables.ContainsKey("v").ToString()'
    with policies(by_method(STORE_VALUE % "1", get)) as gateway:
        gateway.call("POST")
        assert gateway.call().text == "True"
    with policies(by_method(STORE_VALUE % "1" + remove, get)) as gateway:
        gateway.call("POST")
        assert gateway.call().text == "False"
    with policies(by_method(STORE_VALUE.replace('"60"', '"0"') % "1", get)) as gateway:
        gateway.call("POST")
        assert gateway.call().text == "False"
