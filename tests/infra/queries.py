"""The query files: what they ask, by hand and as queries written for API Management's own tables do."""

import re

from tests.infra.templates import INFRA

QUERIES = INFRA / "queries"
VIEWS = QUERIES / "views"
# As they are asked there: counts are in the record with the sequence number 0, who called is in the other table.
LIKE_API_MANAGEMENT = {
    "tokens by subscription and model": """
        let counts = ApiManagementGatewayLlmLog | where SequenceNumber == 0 and TotalTokens != 0;
        counts
        | join kind=leftouter ApiManagementGatewayLogs on CorrelationId
        | project SubscriptionId = ApimSubscriptionId, DeploymentName, ModelName, ApiVersion, PromptTokens, TotalTokens
        | summarize Tokens = sum(TotalTokens), Requests = count() by SubscriptionId, DeploymentName, ModelName""",
    "prompts and completions": """
        ApiManagementGatewayLlmLog
        | extend asked = parse_json(RequestMessages), answered = parse_json(ResponseMessages)
        | mv-expand asked
        | mv-expand answered
        | summarize asked = make_list(tostring(asked.content)), answered = make_list(tostring(answered.content))
            by CorrelationId
        | project CorrelationId, Input = strcat_array(asked, ""), Output = strcat_array(answered, "")""",
    "slow and failed calls by API": """
        ApiManagementGatewayLogs
        | where TimeGenerated > ago(1d)
        | summarize All = sum(TotalTime), Backends = sum(BackendTime), Calls = count(),
            Failed = countif(not(IsRequestSuccess)), Hits = countif(Cache == "hit"), dcount(LastErrorReason)
            by ApiId, BackendId, ResponseCode, Method""",
}


def questions() -> dict[str, str]:
    """The files that ask, without those that say what is looked at."""
    return {path.name: path.read_text() for path in sorted(QUERIES.glob("*.kql"))}


def views_of(question: str) -> list[str]:
    """The views its second line names, in order."""
    return re.findall(r"views/([a-z-]+\.kql)", question.splitlines()[1])


def by_hand(question: str) -> str:
    """A question as somebody runs it without the workbook: after the files it names."""
    return "".join([*((VIEWS / name).read_text() for name in views_of(question)), question])
