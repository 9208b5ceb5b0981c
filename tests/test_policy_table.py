"""The README's table of policies tells what the code does: every policy of APIM is in it, in the state it is in."""

import importlib
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from shared.policies import POLICIES, REFUSED

ROOT = Path(__file__).parents[1]
STRUCTURE = {"base", "include-fragment"}  # the compiler's own

# https://learn.microsoft.com/azure/api-management/api-management-policies, and on the last line what only the authoring
# toolkit (Azure/azure-api-management-policy-toolkit) lists.
REFERENCE = """
rate-limit rate-limit-by-key quota quota-by-key limit-concurrency azure-openai-token-limit llm-token-limit
check-header get-authorization-context ip-filter validate-azure-ad-token validate-jwt validate-client-certificate
authentication-basic authentication-certificate authentication-managed-identity
validate-content validate-graphql-request validate-odata-request validate-parameters validate-headers
validate-status-code llm-content-safety
forward-request set-backend-service proxy
cache-lookup cache-store cache-lookup-value cache-store-value cache-remove-value azure-openai-semantic-cache-lookup
azure-openai-semantic-cache-store llm-semantic-cache-lookup llm-semantic-cache-store
set-method set-status set-variable set-body set-header set-query-parameter rewrite-uri json-to-xml xml-to-json
find-and-replace redirect-content-urls xsl-transform return-response mock-response
cross-domain cors jsonp
send-request send-one-way-request log-to-eventhub send-service-bus-message publish-to-dapr invoke-dapr-binding
trace emit-metric azure-openai-emit-token-metric llm-emit-token-metric
sql-data-source cosmosdb-data-source http-data-source publish-event
base choose include-fragment retry wait
cache-value invoke-request
""".split()


class Row(NamedTuple):
    """A row of the table."""

    state: str
    note: str


def table() -> dict[str, Row]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.search(r"<!-- policies:start -->(.*)<!-- policies:end -->", text, re.DOTALL)
    assert section is not None
    rows = re.findall(r"^\| (`.+?`) \| (\w+) \| (.*?) ?\|$", section[1], re.MULTILINE)
    return {name: Row(state, note) for names, state, note in rows for name in re.findall(r"`([^`]+)`", names)}


TABLE = table()


def test_every_policy_of_the_reference_has_a_row_and_no_other_has() -> None:
    assert sorted(TABLE) == sorted(REFERENCE)


def test_rows_say_what_the_lists_say() -> None:
    runs = {policy.element for policy in POLICIES} | STRUCTURE
    assert {name for name, row in TABLE.items() if row.state in ("yes", "partly")} == runs
    assert {name: row.note for name, row in TABLE.items() if row.state == "no"} == REFUSED


def test_what_does_not_run_whole_says_what_is_missing() -> None:
    for name, row in TABLE.items():
        assert row.state == "yes" or (row.state in ("partly", "no") and row.note), name


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.element)
def test_policy_has_its_file_and_its_tests(policy: type) -> None:
    module = policy.__module__.rpartition(".")[2]
    element = str(policy.element)  # type: ignore[attr-defined]
    assert module == element.replace("-", "_").replace("azure_openai_", "llm_")
    assert (ROOT / "tests" / "policies" / f"test_{module}.py").is_file()
    source = Path(str(importlib.import_module(policy.__module__).__file__)).read_text(encoding="utf-8")
    assert ("not yet" in TABLE[element].note) == ("not yet executed" in source)
