"""The gateway configurations the benchmark compares: to add one, add an entry."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class GatewayVariant:
    """A name, the text of gateway.yaml, further files by relative path, and app settings; `@backend@` becomes the
    backend's URL."""

    name: str
    config: str
    files: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)


# One API with a required subscription key, a backend with a credential: what every real gateway has at least.
PLAIN = """\
named_values:
  backend-key: { env: BENCH_BACKEND_KEY }
  subscription-key: { env: BENCH_SUBSCRIPTION_KEY }
backends:
  mock:
    url: "@backend@/v1"
    credentials:
      header: { Authorization: "Bearer {{backend-key}}" }
apis:
  llm:
    display_name: LLM
    path: llm
    kind: openai
    backend: mock
subscriptions:
  bench:
    display_name: Benchmark
    scope: all-apis
    keys: { primary: "{{subscription-key}}" }
"""

WITH_POLICY = PLAIN.replace("    backend: mock\n", "    backend: mock\n    policy: policies/llm.xml\n")

# What a policy document of the usual kind costs: a token of the managed identity, the model read from the body, a
# choice of the backend, variables, a retry.
POLICIES = """\
<policies>
  <inbound>
    <base />
    <set-backend-service backend-id="mock" />
    <authentication-managed-identity resource="https://cognitiveservices.azure.com" \
output-token-variable-name="msi-access-token" />
    <set-header name="Authorization" exists-action="override">
      <value>@("Bearer " + (string)context.Variables["msi-access-token"])</value>
    </set-header>
    <set-variable name="model" value="@((string)context.Request.Body.As<JObject>(preserveContent: true)["model"])" />
    <set-variable name="team" value="@(context.Request.Headers.GetValueOrDefault("x-team", "none"))" />
    <choose>
      <when condition="@(context.Variables.GetValueOrDefault<string>("model").StartsWith("gpt-5"))">
        <set-backend-service backend-id="other" />
      </when>
      <otherwise>
        <set-header name="x-model" exists-action="override">
          <value>@(context.Variables.GetValueOrDefault<string>("model", ""))</value>
        </set-header>
      </otherwise>
    </choose>
  </inbound>
  <backend>
    <retry condition="@(context.Response.StatusCode == 429 || context.Response.StatusCode >= 500)" \
count="2" interval="0" first-fast-retry="true">
      <forward-request buffer-request-body="true" />
    </retry>
  </backend>
  <outbound>
    <base />
  </outbound>
  <on-error>
    <base />
  </on-error>
</policies>
"""
WITH_POLICIES = WITH_POLICY.replace("backends:\n", 'backends:\n  other: { url: "http://127.0.0.1:9" }\n')

# A token limit nobody reaches, with what the import wizard writes: what counting costs.
TOKEN_LIMIT = """\
<policies>
  <inbound>
    <base />
    <llm-token-limit counter-key="@(context.Subscription.Id)" tokens-per-minute="1000000000"
        estimate-prompt-tokens="false" />
  </inbound>
  <backend>
    <base />
  </backend>
  <outbound>
    <base />
  </outbound>
  <on-error>
    <base />
  </on-error>
</policies>
"""

# A pool of three in place of the one backend, with breakers, failover and weights: what choice and watching cost.
BREAKER = """\
    circuit_breaker:
      rules:
        - name: rule
          failure_condition:
            count: 5
            interval: PT1M
            status_code_ranges: [{ min: 429, max: 429 }, { min: 500, max: 599 }]
            error_reasons: [Server errors]
          trip_duration: PT1M
          accept_retry_after: true
"""
_ONE = PLAIN.partition("backends:\n")[2].partition("apis:\n")[0]
_MEMBERS = "".join(_ONE.replace("  mock:", f"  mock-{number}:") + BREAKER for number in (1, 2, 3))
POOL = PLAIN.replace(
    _ONE,
    _MEMBERS
    + """\
  mock:
    pool:
      failover: true
      services: [{ id: mock-1, weight: 70 }, { id: mock-2, weight: 20 }, { id: mock-3, weight: 10 }]
""",
)

# Telemetry to an ingestion endpoint that takes everything (the backend's process), with the sampling a new deployment
# has, with every request recorded, and with tokens and cost counted as well.
INSIGHTS = {
    "APPLICATIONINSIGHTS_CONNECTION_STRING": (
        "InstrumentationKey=00000000-0000-4000-8000-000000000001;IngestionEndpoint=@backend@/;LiveEndpoint=@backend@/"
    )
}
TOKEN_METRIC = """\
<policies>
  <inbound>
    <base />
    <llm-emit-token-metric>
      <dimension name="API ID" />
      <dimension name="Subscription ID" />
    </llm-emit-token-metric>
  </inbound>
  <backend>
    <base />
  </backend>
  <outbound>
    <base />
  </outbound>
</policies>
"""

GATEWAYS = (
    GatewayVariant("gateway", PLAIN),
    GatewayVariant("gateway-pool", POOL),
    GatewayVariant("gateway-policies", WITH_POLICIES, {"policies/llm.xml": POLICIES}),
    GatewayVariant(
        "gateway-token-limit",
        WITH_POLICY,
        {"policies/llm.xml": TOKEN_LIMIT},
    ),
    GatewayVariant("gateway-telemetry", PLAIN, settings=INSIGHTS),
    GatewayVariant("gateway-telemetry-all", PLAIN, settings={**INSIGHTS, "OTEL_TRACES_SAMPLER": "always_on"}),
    GatewayVariant("gateway-token-metric", WITH_POLICY, {"policies/llm.xml": TOKEN_METRIC}, INSIGHTS),
    GatewayVariant(
        "gateway-telemetry-down",
        WITH_POLICY,
        {"policies/llm.xml": TOKEN_METRIC},
        {
            "APPLICATIONINSIGHTS_CONNECTION_STRING": (
                INSIGHTS["APPLICATIONINSIGHTS_CONNECTION_STRING"].replace("@backend@", "http://127.0.0.1:9")
            )
        },
    ),
)
