"""The policies there are, one file each. To add one: write the file, add its class here."""

from shared.policies.check_header import CheckHeader
from shared.policies.choose import Choose
from shared.policies.cors import Cors
from shared.policies.find_and_replace import FindAndReplace
from shared.policies.forward_request import ForwardRequest
from shared.policies.ip_filter import IpFilter
from shared.policies.json_to_xml import JsonToXml
from shared.policies.limit_concurrency import LimitConcurrency
from shared.policies.mock_response import MockResponse
from shared.policies.policy import Policy
from shared.policies.retry import Retry
from shared.policies.return_response import ReturnResponse
from shared.policies.rewrite_uri import RewriteUri
from shared.policies.set_backend_service import SetBackendService
from shared.policies.set_body import SetBody
from shared.policies.set_header import SetHeader
from shared.policies.set_method import SetMethod
from shared.policies.set_query_parameter import SetQueryParameter
from shared.policies.set_status import SetStatus
from shared.policies.set_variable import SetVariable
from shared.policies.wait import Wait
from shared.policies.xml_to_json import XmlToJson

POLICIES: tuple[type[Policy], ...] = (
    CheckHeader,
    Choose,
    Cors,
    FindAndReplace,
    ForwardRequest,
    IpFilter,
    JsonToXml,
    LimitConcurrency,
    MockResponse,
    Retry,
    ReturnResponse,
    RewriteUri,
    SetBackendService,
    SetBody,
    SetHeader,
    SetMethod,
    SetQueryParameter,
    SetStatus,
    SetVariable,
    Wait,
    XmlToJson,
)

# Policies of APIM that cannot run here, and why.
REFUSED: dict[str, str] = {
    "get-authorization-context": "it needs APIM's credential manager; give the backend credentials of its own instead",
}
