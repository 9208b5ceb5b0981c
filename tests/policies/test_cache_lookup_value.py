"""cache-lookup-value: a miss, its default, and that what was read is a copy."""

from tests.policies.caching import LOOKUP_VALUE, RETURN, STORE_VALUE, by_method
from tests.support.policies import document, policies


def test_changing_what_was_read_does_not_change_what_is_cached() -> None:
    change = """<set-variable name="x" value='@{ var o = (JObject)context.Variables["v"]; o["a"] = 2; return 0; }' />"""
    get = LOOKUP_VALUE + RETURN % '((JObject)context.Variables["v"])["a"].ToString()'
    put = LOOKUP_VALUE + change
    xml = by_method(STORE_VALUE % 'JObject.Parse("{\\"a\\": 1}")', "").replace(
        "</choose>",
        f"""</choose><choose><when condition='@(context.Request.Method == "PUT")'>{put}</when></choose>{get}""",
    )
    with policies(xml) as gateway:
        gateway.call("POST")
        gateway.call("PUT")
        assert gateway.call().text == "1"


def test_a_miss_leaves_the_variable_unset_or_gives_the_default() -> None:
    contains = 'context.Variables.ContainsKey("v").ToString()'
    with policies(document(inbound=LOOKUP_VALUE + RETURN % contains)) as gateway:
        assert gateway.call().text == "False"
    default = '<cache-lookup-value key="k" variable-name="v" default-value="@(new JArray(1))" />'
    with policies(document(inbound=default + RETURN % '((JArray)context.Variables["v"])[0].ToString()')) as gateway:
        assert gateway.call().text == "1"
