"""validate-headers: the headers of a response against those its definition has for the status code."""

import pytest

from tests.policies.defined import Shop, defined
from tests.support.policies import document, problems

SHOP = """
openapi: 3.0.3
paths:
  /orders:
    get:
      operationId: orders
      responses:
        "200":
          description: ""
          headers:
            X-Count: {required: true, schema: {type: integer, minimum: 0}}
            X-Pages: {$ref: "#/components/headers/pages"}
        4XX: {description: "", headers: {X-Problem: {schema: {enum: [gone, moved]}}}}
components:
  headers: {pages: {schema: {type: array, items: {type: integer}}}}
"""
POLICY = """<validate-headers specified-header-action="prevent" unspecified-header-action="%s"
    errors-variable-name="found">%s</validate-headers>"""
SERVER = '<header name="Server" action="ignore" />'
SHOW = '<return-response><set-body>@(context.Variables["found"].ToString())</set-body></return-response>'


def outcome(shop: Shop) -> str:
    """What on-error was told; nothing for an answer that came through."""
    answer = shop.get("/orders")
    if answer.status_code != 502:
        return ""
    assert answer.headers["x-error"] == "validate-headers ResponseNotAllowed"
    assert answer.json()["message"].startswith("The request could not be processed due to an internal error.")
    return answer.headers["x-message"]


def test_specified_headers_conform_for_the_status_code() -> None:
    with defined(SHOP, outbound=POLICY % ("ignore", "")) as shop:
        shop.answers(200, x_count="3", x_pages="1,2", x_other="1")
        assert outcome(shop) == ""
        shop.answers(200, x_count="-1")
        assert outcome(shop).startswith(
            "Value of the header X-Count does not conform to the definition. -1 is less than"
        )
        shop.answers(200, x_count="few")
        assert outcome(shop).startswith("Value of the header X-Count cannot be parsed according to the definition.")
        shop.answers(200)
        assert outcome(shop) == "Response does not contain the required header X-Count."
        shop.answers(404, x_problem="lost")
        assert outcome(shop).startswith("Value of the header X-Problem does not conform to the definition.")
        shop.answers(404, x_problem="gone")
        assert outcome(shop) == ""
        shop.answers(500, x_problem="lost")  # nothing is specified of it
        assert outcome(shop) == ""


def test_unspecified_headers_but_for_those_that_frame_every_message() -> None:
    with defined(SHOP, outbound=POLICY % ("prevent", SERVER)) as shop:
        shop.answers(200, {"a": 1}, x_count="3", date="Tue, 15 Nov 1994 08:12:31 GMT")
        assert outcome(shop) == ""
        shop.answers(200, x_count="3", x_powered_by="PHP")
        assert outcome(shop) == "Unspecified header x-powered-by is not allowed."
        shop.answers(500, x_problem="gone")
        assert outcome(shop) == "Unspecified header x-problem is not allowed."
    named = '<header name="X-Powered-By" action="ignore" /><header name="Content-Type" action="prevent" />'
    with defined(SHOP, outbound=POLICY % ("prevent", SERVER + named)) as shop:
        shop.answers(200, x_count="3", x_powered_by="PHP")
        assert outcome(shop) == ""
        shop.answers(200, {"a": 1}, x_count="3")
        assert outcome(shop) == "Unspecified header content-type is not allowed."


def test_detected_errors_are_all_in_the_variable() -> None:
    xml = POLICY.replace("prevent", '@("detect")') % ("detect", SERVER)
    with defined(SHOP, outbound=xml + SHOW) as shop:
        shop.answers(200, x_count="-1", x_more="1")
        errors = {error.pop("Name"): error for error in shop.get("/orders").json()}
    assert {name: error["ValidationRule"] for name, error in errors.items()} == {
        "X-Count": "IncorrectMessage",
        "x-more": "Unspecified",
    }
    assert errors["x-more"] == {
        "Type": "ResponseHeader",
        "ValidationRule": "Unspecified",
        "Details": "Unspecified header x-more is not allowed.",
        "Action": "detect",
    }


def test_an_api_without_a_definition_conforms_to_none() -> None:
    with defined(SHOP, outbound=POLICY % ("ignore", "")) as shop:
        answer = shop.get("/not-in-the-document")
        assert (answer.status_code, answer.headers["x-message"]) == (
            502,
            "API's schema does not exist or it could not be resolved.",
        )


@pytest.mark.parametrize("section", ["inbound", "backend"])
def test_it_stands_in_outbound_and_on_error(section: str) -> None:
    (found,) = problems(document(**{section: POLICY % ("ignore", "")}))
    assert f"validate-headers is not allowed in {section} (only in outbound, on-error)" in found
    assert problems(document(on_error=POLICY % ("ignore", ""))) == []
    (twice,) = problems(document(outbound=(POLICY % ("ignore", "")) * 2))
    assert "validate-headers can be used only once in outbound" in twice
