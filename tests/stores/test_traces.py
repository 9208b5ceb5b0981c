"""Traces in a table: whole again after storage, shared between instances, gone after an hour."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.stores.protocols import StoreError
from shared.stores.tables import Tables
from shared.stores.traces import TABLE, TableTraces
from tests.support.azurite import Azurite


async def test_traces_outlive_their_instance_and_not_their_hour() -> None:
    with Azurite("table") as storage:
        tables = Tables(storage.connection_string)
        now = datetime.now(UTC)
        one, two = (TableTraces(tables.table(TABLE), lambda: now) for _ in range(2))
        large = "".join(f"{index:x}é" for index in range(60_000))
        await one.put("a", large)
        await one.put("b", "{}")
        assert await two.get("a") == large and await two.get("b") == "{}" and await two.get("c") is None
        assert await two.purge() == 0
        now += timedelta(hours=1, seconds=5)
        assert await two.purge() == 2 and await two.get("a") is None
        storage.stop()
        await one.put("d", "kept here")
        assert await one.get("d") == "kept here"
        with pytest.raises(StoreError):
            await two.get("d")
        await tables.close()
