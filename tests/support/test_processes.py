"""The storage and gateway processes tests build on: they come up, keep what they should, freeze, and go."""

from pathlib import Path

import httpx
import pytest
from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.data.tables import TableServiceClient

from tests.support.azurite import Azurite
from tests.support.processes import ChildProcess, ProcessFailed
from tests.support.serve import gateways, serving

CONFIG = """\
backends: { none: { url: "http://127.0.0.1:9/v1" } }
apis: { llm: { display_name: LLM, path: llm, kind: openai, backend: none } }
"""


def tables(storage: Azurite) -> TableServiceClient:
    return TableServiceClient.from_connection_string(storage.connection_string, retry_total=0, read_timeout=1)


def test_azurite_keeps_its_data_and_ports_over_a_restart(tmp_path: Path) -> None:
    with Azurite(data=tmp_path) as storage, tables(storage) as service:
        table = service.create_table(storage.table_name())
        table.create_entity({"PartitionKey": "p", "RowKey": "r", "value": 7})
        storage.stop()
        with pytest.raises(ServiceRequestError):
            table.get_entity("p", "r")
        storage.start()
        assert table.get_entity("p", "r")["value"] == 7


def test_a_frozen_azurite_accepts_but_does_not_answer() -> None:
    with Azurite() as storage, tables(storage) as service:
        table = service.create_table(storage.table_name())
        storage.pause()
        with pytest.raises(ServiceResponseError):
            table.upsert_entity({"PartitionKey": "p", "RowKey": "r"})
        storage.resume()
        table.upsert_entity({"PartitionKey": "p", "RowKey": "r"})


def test_gateway_processes_come_up_side_by_side_and_go(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIG)
    env = {"GATEWAY_KEY_HASH_SECRET": "test", "GATEWAY_ALL_ACCESS_KEY": "k"}
    with gateways(config, 2, env=env) as running:
        one, two = running
        assert one.url != two.url
        for gateway in running:
            assert httpx.get(f"{gateway.url}/status-0123456789abcdef").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(one.url)


def test_a_process_that_fails_says_why() -> None:
    with ChildProcess(["sh", "-c", "echo no luck; exit 3"]) as process, pytest.raises(ProcessFailed, match="no luck"):
        process.wait_for_line("listening on ")
    assert process.exit_code == 3


def test_an_app_is_served_on_a_thread() -> None:
    from starlette.responses import PlainTextResponse

    with serving(PlainTextResponse("here")) as url:
        assert httpx.get(url).text == "here"
