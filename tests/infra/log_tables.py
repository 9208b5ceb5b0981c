"""The tables of an Application Insights resource, filled with the items one took, and queries that run on them.

The engine is DuckDB behind a translator of KQL (https://pypi.org/project/duckdb-kql/): not the service, but somebody
else's reading of the language. It knows no percentiles with weights; those are taken without, so of whole records only.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

import duckdb_kql

from tests.infra.kql import TABLES
from tests.support.app_insights import Item

_TABLE_OF = {
    "RequestData": "requests",
    "RemoteDependencyData": "dependencies",
    "MetricData": "customMetrics",
    "MessageData": "traces",
}
_TYPES = {"datetime": "TIMESTAMP", "string": "VARCHAR", "int": "INTEGER", "real": "DOUBLE", "dynamic": "JSON"}


class LogTables:
    """One resource's tables."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._connection = duckdb_kql.connect()
        columns = {table: dict(re.findall(r"(\w+): (\w+)", schema)) for table, schema in TABLES.items()}
        for table, types in columns.items():
            declared = ", ".join(f'"{column}" {_TYPES[type]}' for column, type in types.items())
            self._connection.execute(f"CREATE TABLE {table} ({declared})")
        for item in items:
            table = _TABLE_OF[item.type]
            row = _row(item)
            values = [row.get(column) for column in columns[table]]
            marks = ", ".join("?" * len(values))
            self._connection.execute(f"INSERT INTO {table} VALUES ({marks})", values)

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The rows a query answers with, by the names of their columns."""
        query = re.sub(r"\bpercentilew\((\w+), items, (\d+)\)", r"percentile(\1, \2)", query)
        answer = duckdb_kql.query(self._connection, query)
        return [dict(zip(answer.columns, row, strict=True)) for row in answer.fetchall()]


def _row(item: Item) -> dict[str, Any]:
    """The columns of an item, as Application Insights fills them."""
    data = item.data
    row = {
        "timestamp": item.time.replace(tzinfo=None),
        "itemCount": round(100 / (item.sample_rate or 100)),
        "customDimensions": json.dumps(dict(item.properties)),
        "operation_Id": item.tags.get("ai.operation.id", ""),
        "operation_ParentId": item.tags.get("ai.operation.parentId", ""),
        "name": item.name,
        "success": str(data.get("success", "")),
        "resultCode": data.get("responseCode") or data.get("resultCode") or "",
        **{column: data.get(column, "") for column in ("id", "url", "data", "target", "type", "message")},
        **{"value" + ending: data.get(name) for ending, name in (("Sum", "value"), ("Min", "min"), ("Max", "max"))},
        "valueCount": data.get("count", 1),
    }
    if "duration" in data:
        row["duration"] = _milliseconds(data["duration"])
    return row


def _milliseconds(duration: str) -> float:
    """Of `days.hours:minutes:seconds`."""
    days, hours, minutes, seconds = re.fullmatch(r"(\d+)\.(\d+):(\d+):([\d.]+)", duration).groups()  # type: ignore[union-attr]
    return 1000 * (86_400 * int(days) + 3_600 * int(hours) + 60 * int(minutes) + float(seconds))
