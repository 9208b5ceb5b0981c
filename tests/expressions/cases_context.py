"""Cases of ``context``: what API Management gives for a request to ``support.context()``."""

# ruff: noqa: E501 - a case stays on its line

from datetime import UTC, datetime

from shared.expressions.dates import DateTime
from shared.expressions.numbers import Long
from tests.expressions.support import Fails

REQUEST = [
    ("context.Request.Method", "POST"),
    ("context.Request.IpAddress", "10.1.2.3"),
    ("context.Request.Url.Path", "/openai/deployments/gpt-4o/chat"),
    ("context.Request.Url.Host + context.Request.Url.Port + context.Request.Url.Scheme", "gw.example443https"),
    ("context.Request.Url.QueryString", "?api-version=2024-10-21&tag=a&tag=b%20c"),
    ('context.Request.Url.Query.GetValueOrDefault("tag", "")', "a,b c"),
    ('context.Request.Url.Query["tag"][1]', "b c"),
    ('context.Request.Url.Query.ContainsKey("nope")', False),
    ('context.Request.Url.Query["nope"]', Fails("KeyNotFoundException")),
    (
        "context.Request.OriginalUrl.ToString()",
        "https://gw.example/openai/deployments/gpt-4o/chat?api-version=2024-10-21&tag=a&tag=b%20c",
    ),
    ('context.Request.MatchedParameters["deployment-id"]', "gpt-4o"),
    ('context.Request.MatchedParameters.GetValueOrDefault("x", "d")', "d"),
    ('context.Request.Headers.GetValueOrDefault("Accept", "")', "a/b,c/d"),
    ('context.Request.Headers["ACCEPT"].Last()', "c/d"),
    ('context.Request.Headers.GetValueOrDefault("none")', None),
    ('context.Request.Headers.ContainsKey("Accept")', True),
    (
        'context.Request.Headers["none"]',
        Fails("KeyNotFoundException", "The given key 'none' was not present in the dictionary."),
    ),
    ("context.Request.Headers.Count(h => h.Value.Length > 1)", 1),
    (
        '{ var r = ""; foreach (var h in context.Request.Headers) { r += h.Key + ";"; } return r; }',
        "content-type;accept;authorization;",
    ),
    ('context.Request.Headers.FirstOrDefault(h => h.Key == "none").Value?.First() ?? "none"', "none"),
    ("context.Request.OriginalUrl.ToUri().Host", "gw.example"),
    ("context.Request.Certificate == null", True),
    ("context.Request.Foundry.Deployment", "gpt-4o"),
    ("context.Request.Url.Path.Split('/')[2]", "deployments"),
]

BODY = [
    ('(string)context.Request.Body.As<JObject>(preserveContent: true)["model"]', "gpt-4o"),
    ('context.Request.Body.As<JObject>(true)["stream"].Value<bool>()', True),
    ("context.Request.Body.As<string>(preserveContent: true).Length > 10", True),
    ("context.Request.Body.As<byte[]>(true)[0] == 123", True),
    ('context.Request.Body.As<JObject>(true)["messages"].Count()', 2),
    ('context.Request.Body.As<JObject>(true)["messages"].Last["content"].ToString()', "hello"),
    ('context.Request.Body.As<JObject>(true)["user"].Type == JTokenType.Null', True),
    ('context.Request.Body.As<JObject>(true)["messages"][0]["role"].ToString() == "system"', True),
    ('context.Request.Body.As<JObject>(true).SelectToken("metadata.tags[1]").ToString()', "b"),
    ("context.Request.Body.As<JArray>(true)", Fails("Newtonsoft.Json.JsonReaderException")),
    ("{ var a = context.Request.Body.As<string>(); return context.Request.Body.As<string>() == null; }", True),
    (
        '{ var b = context.Request.Body.As<JObject>(true); b["stream_options"] = new JObject { ["include_usage"] = true }; return b["stream_options"].ToString(Formatting.None); }',
        '{"include_usage":true}',
    ),
    ('context.Response.Body.As<JObject>(true)["error"]["code"].Value<int>()', 429),
    ('context.Request.Body?.As<JObject>(true)?["none"]?["deeper"]?.ToString() ?? "nothing"', "nothing"),
]

REST = [
    ("context.Response.StatusCode == 429", True),
    # .NET's own text of an object is the name of its type; what it holds is nobody's.
    ('"x" + context.Request', "xGatewayRequest"),
    ("context.Request.Body.ToString()", "IMessageBody"),
    ("context.Response.StatusCode.ToString()", "429"),
    ("context.Response.StatusReason", "Too Many"),
    ("context.Response != null && (context.Response.StatusCode == 429 || context.Response.StatusCode >= 500)", True),
    ('context.Response.Headers.GetValueOrDefault("Retry-After", "1")', "7"),
    (
        "context.Api.Id + context.Api.Name + context.Api.Path + context.Api.Version + context.Api.Revision",
        "openaiAzure OpenAIopenaiv12",
    ),
    ("context.Api.ServiceUrl.Host + context.Api.ServiceUrl.Port", "backend.example8443"),
    ("context.LastError.Message", "Rate limit of 100 is exceeded"),
    ("context.Deployment.SustainabilityInfo == null", True),
    ("context.Request.PrivateEndpointConnection == null", True),
    ("context.Product.Apis.Count", 1),
    ("context.Api.IsCurrentRevision", True),
    ("context.Api.SubscriptionKeyParameterNames.Header", "api-key"),
    ('context.Api.Protocols.Contains("https")', True),
    (
        "context.Operation.Id + context.Operation.Method + context.Operation.UrlTemplate",
        "chatPOST/deployments/{deployment-id}/chat",
    ),
    ('context.Workspace?.Name ?? context.Api.Workspace?.Id ?? context.Product.Workspace?.Id ?? "none"', "none"),
    ("context.Workspace.Id", Fails("NullReferenceException")),
    ("context.Product.Name", "Starter"),
    ('context.Product?.Name?.ToString() ?? "Portal-Admin"', "Starter"),
    ("context.Product.State == ProductState.Published", True),
    ("context.Product.Groups.First().Id", "developers"),
    ("context.Product.SubscriptionLimit == null", True),
    ("context.Subscription.Id", "sub-1"),
    ("context.Subscription.Key", "the caller's"),
    ("context.Subscription?.CreatedDate.Year", 2024),
    ("context.Subscription.StartDate.ToString()", ""),
    ("context.Subscription.StartDate.HasValue", False),
    (
        "context.Subscription.StartDate.Value",
        Fails("InvalidOperationException", "Nullable object must have a value."),
    ),
    ("context.Subscription.EndDate == null", True),
    ("context.User == null", True),
    ('context.User?.Id ?? "anonymous"', "anonymous"),
    ("context.User.Email", Fails("NullReferenceException", "Object reference not set to an instance of an object.")),
    ("context.Deployment.Region", "West Europe"),
    ("context.Deployment.Gateway.Id == context.Deployment.GatewayId", True),
    ("context.Deployment.ServiceName", "gw"),
    ("context.Deployment.Certificates.Count", 0),
    ("context.Backend.Id + context.Backend.Type", "poolPool"),
    ('context.LastError.Source + "/" + context.LastError.Reason', "llm-token-limit/OpenAITokenLimitExceeded"),
    (
        "context.LastError.Section + context.LastError.Scope + context.LastError.Path + context.LastError.PolicyId",
        "inboundapillm-token-limitx",
    ),
    ("context.RequestId.ToString()", "12345678-1234-5678-1234-567812345678"),
    ("context.Timestamp", DateTime.of(datetime(2025, 3, 4, 5, 6, 7, 891000, tzinfo=UTC))),
    ("context.Elapsed.TotalMilliseconds", 1500.0),
    ("context.Tracing", False),
]

VARIABLES = [
    ('context.Variables["text"]', "value"),
    ('(string)context.Variables["text"]', "value"),
    ('"Bearer " + (string)context.Variables["text"]', "Bearer value"),
    ('(int)context.Variables["count"] + 1', 4),
    (
        '(string)context.Variables["count"]',
        Fails("InvalidCastException", "Unable to cast object of type 'System.Int32' to type 'System.String'."),
    ),
    (
        'context.Variables["none"]',
        Fails("KeyNotFoundException", "The given key 'none' was not present in the dictionary."),
    ),
    ('context.Variables.ContainsKey("text")', True),
    ('context.Variables.GetValueOrDefault<string>("text")', "value"),
    ('context.Variables.GetValueOrDefault<string>("none", "d")', "d"),
    (
        "{ int n = 0; var v = (n++ < 1 ? context.Variables : context.Variables)"
        '.GetValueOrDefault<string>("none", "d"); return v + n; }',
        "d1",
    ),
    ('context.Variables.GetValueOrDefault<int>("none")', 0),
    ('context.Variables.GetValueOrDefault<bool>("flag") && true', True),
    ('context.Variables.GetValueOrDefault("text", "d")', "value"),
    (
        'context.Variables.GetValueOrDefault<int>("text")',
        Fails("InvalidCastException", "Unable to cast object of type 'System.String' to type 'System.Int32'."),
    ),
    ('((string)context.Variables.GetValueOrDefault<string>("text"))?.ToUpper() ?? "n"', "VALUE"),
    ('string.Join(",", context.Variables.Select(v => v.Key + "=" + v.Value))', "text=value,count=3,flag=True"),
    ('{ foreach (var v in context.Variables) { if (v.Value is bool) { return v.Key; } } return "none"; }', "flag"),
    ("JsonConvert.SerializeObject(context.Variables)", '{"text":"value","count":3,"flag":true}'),
    ("JsonConvert.SerializeObject(context.Request.MatchedParameters)", '{"deployment-id":"gpt-4o"}'),
    ('JObject.FromObject(context.Request.Headers)["accept"].ToString(Formatting.None)', '["a/b","c/d"]'),
    ('{ object v; return context.Variables.TryGetValue("count", out v) ? (int)v : 0; }', 3),
]

TOKENS = [
    ('context.Request.Headers.GetValueOrDefault("Authorization", "").AsJwt().Subject', "s1"),
    ('"id-" + context.Request.Headers.GetValueOrDefault("Authorization", "").AsJwt()?.Issuer', "id-me"),
    (
        'context.Request.Headers["Authorization"].First().Split(\' \')[1].AsJwt().Claims.GetValueOrDefault("roles", "")',
        "x,y",
    ),
    (
        'JsonConvert.SerializeObject(context.Request.Headers.GetValueOrDefault("Authorization", "").AsJwt().Claims)',
        '{"sub":["s1"],"aud":["a1","a2"],"iss":["me"],"exp":["1700000000"],"roles":["x","y"],"n":["5"]}',
    ),
    ('context.Request.Headers.GetValueOrDefault("Authorization", "").AsJwt().Claims["roles"].Contains("y")', True),
    (
        'context.Request.Headers.GetValueOrDefault("Authorization", "").AsJwt().Claims.GetValueOrDefault("n", new string[] { "" })[0]',
        "5",
    ),
    ('context.Request.Headers.GetValueOrDefault("Authorization", "").AsJwt().Audiences.Last()', "a2"),
    ('context.Request.Headers.GetValueOrDefault("Authorization", "").AsJwt().ExpirationTime < DateTime.UtcNow', True),
    ('context.Request.Headers.GetValueOrDefault("Authorization", "").AsJwt().Algorithm', "RS256"),
    ('context.Request.Headers.GetValueOrDefault("none").AsJwt() == null', True),
    (
        '{ Jwt jwt; return context.Request.Headers.GetValueOrDefault("Authorization", "").TryParseJwt(out jwt) ? jwt.Id ?? "no id" : "no"; }',
        "no id",
    ),
    ('"Basic dTpwOnE=".AsBasic().Password', "p:q"),
    ('"nonsense".TryParseBasic(out var basic)', False),
    ('(long)1 + Convert.ToInt64("2")', Long(3)),
]

CASES = REQUEST + BODY + REST + VARIABLES + TOKENS
