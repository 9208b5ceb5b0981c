"""The workbook and its queries: what is asked exists, what is answered is shown, and every file has its place."""

import json
import re
from functools import cache
from typing import Any

import pytest

from tests.infra.evaluate import evaluate
from tests.infra.kql import Answer, ask
from tests.infra.queries import LIKE_API_MANAGEMENT, QUERIES, VIEWS, by_hand, questions, views_of
from tests.infra.templates import made, template
from tests.infra.tree import Call, Declaration, Name, Text, walk

# What a parameter of the workbook becomes in a query: nothing chosen, or something.
CHOICES = {
    "nothing chosen": {"TimeRange:grain": "1h", "Api": "", "Product": "", "Subscription": ""},
    "some chosen": {"TimeRange:grain": "5m", "Api": '"a","b"', "Product": '"p"', "Subscription": '"s","t"'},
}
TEXT, QUERY, PARAMETERS, LINKS = 1, 3, 9, 11


@cache
def workbook() -> dict[str, Any]:
    """What the portal reads."""
    whole = template("workbook")
    known = {"applicationInsights": {"id": "/subscriptions/s/providers/Microsoft.Insights/components/appi"}}
    return json.loads(evaluate(whole, _resource().body.get("properties", "serializedData"), known))  # type: ignore[no-any-return]


def _resource() -> Declaration:
    [(_, resource)] = made("Microsoft.Insights/workbooks")
    return resource


def items(type: int) -> list[dict[str, Any]]:
    return [item for item in workbook()["items"] if item["type"] == type]


def panels() -> dict[str, dict[str, Any]]:
    return {item["name"]: item["content"] for item in items(QUERY)}


def parameters() -> dict[str, dict[str, Any]]:
    [item] = items(PARAMETERS)
    return {parameter["name"]: parameter for parameter in item["content"]["parameters"]}


def chosen(query: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        query = query.replace(f"{{{name}}}", value)
    return query


@cache
def answers() -> dict[str, Answer]:
    """What Kusto's language service says of all queries, asked once."""
    asked = {f"file {name}": by_hand(text) for name, text in questions().items()}
    for what, values in CHOICES.items():
        asked |= {f"panel {name}, {what}": chosen(panel["query"], values) for name, panel in panels().items()}
        asked |= {
            f"parameter {name}, {what}": chosen(parameter["query"], values)
            for name, parameter in parameters().items()
            if "query" in parameter
        }
    return ask(asked)


def test_the_workbook_belongs_to_application_insights_under_one_name_for_good() -> None:
    properties = _resource().body.get("properties")
    whole = template("workbook")
    ids = []
    for resource_id in ("/one", "/one", "/two"):
        known = {"applicationInsights": {"id": resource_id}}
        ids.append(evaluate(whole, _resource().body.get("name"), known))
        assert evaluate(whole, properties.get("sourceId"), known) == resource_id  # type: ignore[union-attr]
    assert ids[0] == ids[1] != ids[2]
    assert workbook()["fallbackResourceIds"] == ["/subscriptions/s/providers/Microsoft.Insights/components/appi"]


def test_the_workbook_is_one_the_portal_reads() -> None:
    """https://github.com/microsoft/Application-Insights-Workbooks/blob/master/schema/workbook.json"""
    assert workbook()["version"] == "Notebook/1.0"
    assert {item["type"] for item in workbook()["items"]} == {TEXT, QUERY, PARAMETERS, LINKS}
    names = [item["name"] for item in workbook()["items"]]
    assert len(names) == len(set(names))
    [links] = items(LINKS)
    ids = [one["id"] for one in (*links["content"]["links"], *parameters().values())]
    assert len(ids) == len(set(ids)) and all(re.fullmatch(r"[0-9a-f-]{36}", id) for id in ids)
    for panel in panels().values():
        assert panel["visualization"] in {"tiles", "table", "linechart", "areachart", "barchart"}
        assert (panel["queryType"], panel["resourceType"]) == (0, "microsoft.insights/components")
        assert panel["timeContextFromParameter"] == "TimeRange"


def test_every_tab_has_panels_and_every_panel_a_tab() -> None:
    [links] = items(LINKS)
    assert {link["cellValue"] for link in links["content"]["links"]} == {"tab"}
    tabs = [link["subTarget"] for link in links["content"]["links"]]
    for type in (TEXT, QUERY):
        seen = [item["conditionalVisibility"] for item in items(type)]
        assert {(one["parameterName"], one["comparison"]) for one in seen} == {("tab", "isEqualTo")}
        assert {one["value"] for one in seen} == set(tabs)


def test_what_the_reader_chooses_counts_in_every_panel() -> None:
    assert set(parameters()) == {"TimeRange", "Api", "Product", "Subscription"}
    for name in ("Api", "Product", "Subscription"):
        parameter = parameters()[name]
        assert (parameter["type"], parameter["multiSelect"], parameter["quote"]) == (2, True, '"')
        assert not parameter.get("isRequired") and "value" not in parameter, "nothing chosen is all"
    used = {name: set(re.findall(r"\{(\w+)[:}]", panel["query"])) for name, panel in panels().items()}
    assert used == dict.fromkeys(panels(), {"TimeRange", "Api", "Product", "Subscription"})


def test_every_query_file_is_in_the_workbook_and_says_what_it_needs() -> None:
    whole = template("workbook")
    loaded = {
        (whole.path.parent / str(path.plain)).resolve()
        for declaration in whole.declarations
        for node in walk(declaration.value)
        if isinstance(node, Call) and node.function == Name("loadTextContent")
        for path in node.arguments
        if isinstance(path, Text)
    }
    assert loaded == set(QUERIES.rglob("*.kql")) - {VIEWS / "scope.kql"}
    shown = [panel["query"] for panel in panels().values()]
    scope = chosen(evaluate(whole, whole.of("var")["scope"].value, {}), CHOICES["nothing chosen"])
    for name, text in questions().items():
        first, second = text.splitlines()[:2]
        assert re.fullmatch(r"// [A-Z].*\?( .*)?", first), f"{name} begins with its question"
        if name.startswith("choices-"):
            assert text in [parameter.get("query") for parameter in parameters().values()]
            continue
        assert re.fullmatch(r"// On views/scope\.kql( and |, ).*\.", second), name
        views = "".join((VIEWS / view).read_text() for view in views_of(text)[1:])
        assert scope + views + text in [chosen(query, CHOICES["nothing chosen"]) for query in shown], name


def test_the_readme_has_every_question_in_its_words() -> None:
    text = (QUERIES / "README.md").read_text()
    told = dict(re.findall(r"^\| \[([a-z-]+\.kql)\]\(\1\) \| (.*) \|$", text, re.M))
    assert told == {name: query.splitlines()[0].removeprefix("// ") for name, query in questions().items()}
    assert {f"views/{path.name}" for path in VIEWS.glob("*.kql")} == set(
        re.findall(r"\]\((views/[a-z-]+\.kql)\)", text)
    )


def test_the_scope_of_the_workbook_has_the_names_of_the_one_by_hand() -> None:
    whole = template("workbook")
    scope = evaluate(whole, whole.of("var")["scope"].value, {})
    names = re.compile(r"^let (\w+) = ", re.M)
    assert names.findall(scope) == names.findall((VIEWS / "scope.kql").read_text())
    # Whoever chooses nothing gets what the files ask for.
    plain = "\n".join(line for line in (VIEWS / "scope.kql").read_text().splitlines() if not line.startswith("//"))
    assert chosen(scope, CHOICES["nothing chosen"]).strip() == plain


def test_all_queries_mean_something() -> None:
    assert {name: answer.problems for name, answer in answers().items() if answer.problems} == {}


def test_a_query_that_means_nothing_is_noticed() -> None:
    said = ask(
        {
            "no such column": "requests\n| where stats == 1",
            "no such function": "requests | extend a = to_int(resultCode)",
            "types that do not fit": "requests | where duration has 'x'",
            "no KQL": "select * from requests",
            "fine": 'requests | summarize Calls = sum(itemCount) by api = tostring(customDimensions["a.b"])',
        }
    )
    assert said.pop("fine") == Answer([], {"api": "string", "Calls": "long"})
    assert said["no such column"].problems[0].startswith("2: Error: The name 'stats'")
    assert all(answer.problems for answer in said.values())


@pytest.mark.parametrize("name", list(panels()))
def test_a_panel_shows_columns_its_query_has(name: str) -> None:
    panel = panels()[name]
    columns = answers()[f"panel {name}, nothing chosen"].columns
    numbers = {column for column, type in columns.items() if type in ("int", "long", "real")}
    for one in panel["gridSettings"]["formatters"]:
        assert any(re.search(one["columnMatch"], column) for column in numbers), one["columnMatch"]
    match panel["visualization"]:
        case "tiles":
            assert {one["columnMatch"] for one in panel["tileSettings"].values() if isinstance(one, dict)} == {*columns}
        case "table":
            assert columns
        case _:
            assert columns.get("timestamp") == "datetime" and numbers, "a chart needs a time and a value"
            texts = [column for column, type in columns.items() if type == "string"]
            assert len(texts) <= 1 and (not texts or len(numbers) == 1), "a line has one name"


def test_a_record_counts_for_all_the_calls_it_stands_for() -> None:
    """Requests and dependencies may be a sample: their `itemCount` says of how many. Counters are never sampled."""
    for path in QUERIES.rglob("*.kql"):
        code = re.sub(r"//.*", "", path.read_text())
        assert not re.search(r"\b(count|countif|dcount|avg|percentiles?)\s*\(", code), f"{path.name}: without weights"
    for view in ("calls.kql", "attempts.kql"):
        assert "items = itemCount" in (VIEWS / view).read_text()


def test_queries_for_api_managements_tables_run_on_this_telemetry() -> None:
    tables = (VIEWS / "api-management.kql").read_text()
    said = ask({name: tables + query for name, query in LIKE_API_MANAGEMENT.items()})
    assert {name: answer.problems for name, answer in said.items() if answer.problems} == {}
    assert said["tokens by subscription and model"].columns["Tokens"] == "long"
