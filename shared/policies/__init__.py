"""The policies there are, one file each. To add one: write the file, add its class here."""

from shared.policies.authentication_basic import AuthenticationBasic
from shared.policies.authentication_certificate import AuthenticationCertificate
from shared.policies.authentication_managed_identity import AuthenticationManagedIdentity
from shared.policies.cache_lookup import CacheLookup
from shared.policies.cache_lookup_value import CacheLookupValue
from shared.policies.cache_remove_value import CacheRemoveValue
from shared.policies.cache_store import CacheStore
from shared.policies.cache_store_value import CacheStoreValue
from shared.policies.check_header import CheckHeader
from shared.policies.choose import Choose
from shared.policies.cors import Cors
from shared.policies.emit_metric import EmitMetric
from shared.policies.find_and_replace import FindAndReplace
from shared.policies.forward_request import ForwardRequest
from shared.policies.ip_filter import IpFilter
from shared.policies.json_to_xml import JsonToXml
from shared.policies.limit_concurrency import LimitConcurrency
from shared.policies.llm_content_safety import LlmContentSafety
from shared.policies.llm_emit_token_metric import AzureOpenaiEmitTokenMetric, LlmEmitTokenMetric
from shared.policies.llm_semantic_cache_lookup import AzureOpenaiSemanticCacheLookup, LlmSemanticCacheLookup
from shared.policies.llm_semantic_cache_store import AzureOpenaiSemanticCacheStore, LlmSemanticCacheStore
from shared.policies.llm_token_limit import AzureOpenaiTokenLimit, LlmTokenLimit
from shared.policies.log_to_eventhub import LogToEventhub
from shared.policies.mock_response import MockResponse
from shared.policies.policy import Policy
from shared.policies.quota import Quota
from shared.policies.quota_by_key import QuotaByKey
from shared.policies.rate_limit import RateLimit
from shared.policies.rate_limit_by_key import RateLimitByKey
from shared.policies.retry import Retry
from shared.policies.return_response import ReturnResponse
from shared.policies.rewrite_uri import RewriteUri
from shared.policies.send_one_way_request import SendOneWayRequest
from shared.policies.send_request import SendRequest
from shared.policies.set_backend_service import SetBackendService
from shared.policies.set_body import SetBody
from shared.policies.set_header import SetHeader
from shared.policies.set_method import SetMethod
from shared.policies.set_query_parameter import SetQueryParameter
from shared.policies.set_status import SetStatus
from shared.policies.set_variable import SetVariable
from shared.policies.trace import Trace
from shared.policies.validate_azure_ad_token import ValidateAzureAdToken
from shared.policies.validate_content import ValidateContent
from shared.policies.validate_headers import ValidateHeaders
from shared.policies.validate_jwt import ValidateJwt
from shared.policies.validate_parameters import ValidateParameters
from shared.policies.validate_status_code import ValidateStatusCode
from shared.policies.wait import Wait
from shared.policies.xml_to_json import XmlToJson

POLICIES: tuple[type[Policy], ...] = (
    AuthenticationBasic,
    AuthenticationCertificate,
    AuthenticationManagedIdentity,
    AzureOpenaiEmitTokenMetric,
    AzureOpenaiSemanticCacheLookup,
    AzureOpenaiSemanticCacheStore,
    AzureOpenaiTokenLimit,
    CacheLookup,
    CacheLookupValue,
    CacheRemoveValue,
    CacheStore,
    CacheStoreValue,
    CheckHeader,
    Choose,
    Cors,
    EmitMetric,
    FindAndReplace,
    ForwardRequest,
    IpFilter,
    JsonToXml,
    LimitConcurrency,
    LlmContentSafety,
    LlmEmitTokenMetric,
    LlmSemanticCacheLookup,
    LlmSemanticCacheStore,
    LlmTokenLimit,
    LogToEventhub,
    MockResponse,
    Quota,
    QuotaByKey,
    RateLimit,
    RateLimitByKey,
    Retry,
    ReturnResponse,
    RewriteUri,
    SendOneWayRequest,
    SendRequest,
    SetBackendService,
    SetBody,
    SetHeader,
    SetMethod,
    SetQueryParameter,
    SetStatus,
    SetVariable,
    Trace,
    ValidateAzureAdToken,
    ValidateContent,
    ValidateHeaders,
    ValidateJwt,
    ValidateParameters,
    ValidateStatusCode,
    Wait,
    XmlToJson,
)

_NO_GRAPHQL = "GraphQL APIs are not served here"
_NO_DAPR = "there is no Dapr runtime beside a function app"

# Policies of APIM that cannot run here, and why.
REFUSED: dict[str, str] = {
    "cache-value": "look the value up with cache-lookup-value, and store a new one with cache-store-value",
    "cosmosdb-data-source": _NO_GRAPHQL,
    "cross-domain": "it is for Flash and Silverlight, which no browser runs any more; cors is for pages",
    "get-authorization-context": "it needs APIM's credential manager; give the backend credentials of its own instead",
    "http-data-source": _NO_GRAPHQL,
    "invoke-dapr-binding": _NO_DAPR,
    "invoke-request": "send-request calls other services, forward-request the backend",
    "jsonp": "it lets any page read the answers; use cors",
    "proxy": "the gateway takes its proxy from HTTPS_PROXY and NO_PROXY",
    "publish-event": _NO_GRAPHQL,
    "publish-to-dapr": _NO_DAPR,
    "redirect-content-urls": "it would rewrite answers unseen; say what to replace with find-and-replace",
    "send-service-bus-message": "Service Bus is not spoken here; send-one-way-request can call its REST API",
    "sql-data-source": _NO_GRAPHQL,
    "validate-client-certificate": "the platform in front of the gateway decides about callers' certificates",
    "validate-graphql-request": _NO_GRAPHQL,
    "validate-odata-request": "OData APIs are not served here",
    "xsl-transform": "the work of a stylesheet cannot be bounded; set-body can build XML with XElement",
}
