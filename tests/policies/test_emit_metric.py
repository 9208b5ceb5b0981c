"""emit-metric: what is counted under which name and dimensions."""

import pytest

from shared.telemetry.metrics import MetricTotals, Total
from tests.support.backend import Backend
from tests.support.policies import document, policies, problems
from tests.support.running import counting


def test_values_are_summed_up_by_dimensions(backend: Backend) -> None:
    xml = document(
        inbound="""<emit-metric name="Request" value="@(context.Request.Body.As<string>(true).Length * 0.5)">
            <dimension name="API ID" /><dimension name="Subscription ID" />
            <dimension name='@("Meth" + "od")' value="@(context.Request.Method)" />
        </emit-metric>""",
        outbound="""<emit-metric name="Done" namespace="mine"><dimension name="gateway id" /></emit-metric>""",
    )
    with policies(xml, backend.url) as gateway:
        metrics = counting(gateway.app)
        for body in ("", "1234", "12"):
            gateway.call("POST", "/chat", content=body.encode())
        totals = metrics.take()
    dimensions = (("API ID", "chat"), ("Method", "POST"), ("Subscription ID", "N/A"))
    total = totals["API Management", "Request", dimensions]
    assert (total.count, total.sum, total.min, total.max) == (3, 3.0, 0.0, 2.0)
    assert totals["mine", "Done", (("gateway id", "managed"),)].count == 3


def test_of_a_caller_s_long_text_the_beginning_is_a_dimension(backend: Backend) -> None:
    value = '@(context.Request.Headers.GetValueOrDefault("x-user"))'
    xml = document(inbound=f"""<emit-metric name="m"><dimension name="user" value='{value}' /></emit-metric>""")
    with policies(xml, backend.url) as gateway:
        metrics = counting(gateway.app)
        for end in "ab":
            gateway.call(headers={"x-user": "u" * 9_000 + end})
        [((_, _, dimensions), total)] = metrics.take().items()
    assert dimensions == (("user", "u" * 1_024),) and total.count == 2


def test_an_expression_that_throws_leads_to_on_error(backend: Backend) -> None:
    emit = '<emit-metric name="m" {0}><dimension name="API ID" />{1}</emit-metric>'
    throws = '@((string)context.Variables["missing"])'
    handler = '<set-status code="418" /><set-body>@(context.LastError.Reason)</set-body>'
    for value, dimension in ((f"value='{throws}'", ""), ("", f"<dimension name=\"x\" value='{throws}' />")):
        with policies(document(inbound=emit.format(value, dimension), on_error=handler), backend.url) as gateway:
            metrics = counting(gateway.app)
            answer = gateway.call()
            assert (answer.status_code, answer.text) == (418, "ExpressionValueEvaluationFailure")
            assert metrics.take() == {}


def test_series_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    metrics = MetricTotals(most_series=2)
    for user in "abcd":
        metrics.emit("n", "m", 1, {"user": user})
    metrics.emit("n", "m", 1, {"user": "a"})
    metrics.emit("n", "m", float("nan"), {"user": "a"})
    assert metrics.dropped == 3 and caplog.text.count("new ones are dropped") == 1
    assert sorted(total.count for total in metrics.take().values()) == [1, 2]
    assert metrics.take() == {}


def test_values_that_no_sum_can_hold_are_dropped_and_told(caplog: pytest.LogCaptureFixture) -> None:
    xml = document(
        inbound="""<emit-metric name="m" value='@(double.Parse(context.Request.Headers.GetValueOrDefault("x-value")))'>
            <dimension name="API ID" /></emit-metric><return-response />"""
    )
    with policies(xml) as gateway:
        metrics = counting(gateway.app)
        for value in ("1e308", "1e308", "NaN", "Infinity", "-1e308"):
            assert gateway.call(headers={"x-value": value}).status_code == 200
        taken = metrics.take()
    [total] = taken.values()
    assert (total.count, total.sum, total.min, total.max, metrics.dropped) == (2, 0, -1e308, 1e308, 3)
    assert caplog.text.count("metric API Management, m: values that are no finite numbers, or more than") == 1
    metrics.put_back(taken)
    metrics.put_back({series: Total(3, 1.7e308, 0, 1e308) for series in taken})
    metrics.put_back({series: Total(3, 1.7e308, 0, 1e308) for series in taken})
    [total] = metrics.take().values()
    assert (total.count, total.sum, metrics.dropped) == (5, 1.7e308, 6)


def test_what_is_wrong_is_told_at_load() -> None:
    cases = {
        '<emit-metric name="m"><dimension name="My own" /></emit-metric>': "dimension My own needs a value",
        '<emit-metric><dimension name="API ID" /></emit-metric>': "attribute name is required",
        '<emit-metric name="@(1)"><dimension name="API ID" /></emit-metric>': "expressions are not allowed",
        '<emit-metric name="m" value="x"><dimension name="API ID" /></emit-metric>': "attribute value",
    }
    for xml, message in cases.items():
        found = problems(document(inbound=xml))
        assert len(found) == 1 and message in found[0], found
