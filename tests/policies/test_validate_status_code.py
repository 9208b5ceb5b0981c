"""validate-status-code: a response's status code against those of the definition."""

import pytest

from tests.policies.defined import defined
from tests.support.policies import document, problems

SHOP = """
openapi: 3.0.3
paths:
  /orders:
    get: {operationId: orders, responses: {"200": {description: ""}, 4XX: {description: ""}}}
  /any:
    get: {operationId: any, responses: {default: {description: ""}}}
  /silent:
    get: {operationId: silent}
"""
POLICY = """<validate-status-code unspecified-status-code-action="%s" errors-variable-name="found">%s
    </validate-status-code>"""


def test_a_status_code_that_is_not_specified_does_not_come_through() -> None:
    with defined(SHOP, outbound=POLICY % ("prevent", "")) as shop:
        shop.answers(500, b"at shop.Orders.List() line 12")
        answer = shop.get("/orders")
        assert (answer.status_code, answer.headers["x-error"]) == (502, "validate-status-code ResponseNotAllowed")
        assert answer.headers["x-message"] == "Response status code 500 is not allowed."
        assert answer.json()["message"].startswith("The request could not be processed due to an internal error.")
        assert shop.get("/any").status_code == 500  # by default
        for status in (200, 404, 429):
            shop.answers(status)
            assert shop.get("/orders").status_code == status
        assert shop.get("/silent").status_code == 502  # nothing at all is specified


def test_an_override_holds_for_a_status_code_that_is_not_specified() -> None:
    override = '<status-code code="503" action="ignore" /><status-code code="200" action="prevent" />'
    with defined(SHOP, outbound=POLICY % ("prevent", override)) as shop:
        assert shop.get("/orders").status_code == 200
        shop.answers(503)
        assert shop.get("/orders").status_code == 503
        shop.answers(504)
        assert shop.get("/orders").status_code == 502


def test_a_detected_status_code_is_in_the_variable() -> None:
    show = '<return-response><set-body>@(context.Variables["found"].ToString())</set-body></return-response>'
    with defined(SHOP, outbound=POLICY % ("detect", "") + show) as shop:
        shop.answers(500)
        assert shop.get("/orders").json() == [
            {
                "Name": "500",
                "Type": "StatusCode",
                "ValidationRule": "Unspecified",
                "Details": "Response status code 500 is not allowed.",
                "Action": "detect",
            }
        ]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"inbound": POLICY % ("ignore", "")}, "validate-status-code is not allowed in inbound"),
        ({"outbound": "<validate-status-code />"}, "unspecified-status-code-action is required"),
        ({"outbound": POLICY % ("ignore", '<status-code code="9" action="ignore" />')}, "attribute code"),
        ({"outbound": POLICY % ("ignore", '<status-code code="500" />')}, "attribute action is required"),
    ],
)
def test_what_is_wrong_is_told_at_load(sections: dict[str, str], message: str) -> None:
    (found,) = problems(document(**sections))
    assert message in found
