"""Whether queries mean something, and what columns they answer with: asked of Kusto's language service."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.infra.templates import ROOT

# What the gateway's telemetry becomes, in the words of an Application Insights resource: of each table the columns that
# are documented, https://learn.microsoft.com/azure/azure-monitor/app/data-model-complete and, for the same tables under
# their other names, https://learn.microsoft.com/azure/azure-monitor/reference/tables/apprequests (appdependencies,
# appmetrics, apptraces).
_EVERY_TABLE = """timestamp: datetime, itemType: string, itemId: string, itemCount: int, customDimensions: dynamic,
    operation_Id: string, operation_ParentId: string, operation_Name: string, cloud_RoleName: string,
    cloud_RoleInstance: string, appName: string"""
TABLES = {
    "requests": f"""({_EVERY_TABLE}, id: string, name: string, url: string, success: string, resultCode: string,
        duration: real, performanceBucket: string, customMeasurements: dynamic)""",
    "dependencies": f"""({_EVERY_TABLE}, id: string, target: string, type: string, name: string, data: string,
        success: string, resultCode: string, duration: real, performanceBucket: string, customMeasurements: dynamic)""",
    "customMetrics": f"""({_EVERY_TABLE}, name: string, value: real, valueCount: int, valueSum: real, valueMin: real,
        valueMax: real, valueStdDev: real)""",
    "traces": f"({_EVERY_TABLE}, message: string, severityLevel: int, customMeasurements: dynamic)",
}


@dataclass(frozen=True)
class Answer:
    """What the service says of a query: problems as `line: severity: message`, columns with their types."""

    problems: list[str]
    columns: dict[str, str]


def ask(queries: Mapping[str, str]) -> dict[str, Answer]:
    """An answer for each query, by name. FileNotFoundError where `npm ci` was not run."""
    if not (ROOT / "node_modules" / "@kusto").exists():
        raise FileNotFoundError("Kusto's language service is not installed: run `npm ci`")
    said = subprocess.run(
        ["node", str(Path(__file__).with_name("kql.cjs"))],
        input=json.dumps({"tables": TABLES, "queries": queries}),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=ROOT,
    )
    return {name: Answer(**answer) for name, answer in json.loads(said.stdout).items()}
