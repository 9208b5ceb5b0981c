"""The gateway configurations the benchmark compares: to add one, add an entry."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class GatewayVariant:
    """A name, the text of gateway.yaml, and further files by relative path; `@backend@` becomes the backend's URL."""

    name: str
    config: str
    files: dict[str, str] = field(default_factory=dict)


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

# What a policy document of the common kind costs: expressions, a decision, headers in both directions.
POLICIES = """\
<policies>
  <inbound>
    <base />
    <set-variable name="team" value="@(context.Request.Headers.GetValueOrDefault("x-team", "none"))" />
    <choose>
      <when condition="@(context.Variables.GetValueOrDefault<string>("team") == "blocked")">
        <return-response>
          <set-status code="403" reason="Forbidden" />
        </return-response>
      </when>
      <otherwise>
        <set-header name="x-caller" exists-action="override">
          <value>@(context.Subscription.Id)</value>
        </set-header>
      </otherwise>
    </choose>
  </inbound>
  <backend>
    <base />
  </backend>
  <outbound>
    <base />
    <set-header name="x-gateway" exists-action="override">
      <value>bench</value>
    </set-header>
  </outbound>
  <on-error>
    <base />
  </on-error>
</policies>
"""

GATEWAYS = (
    GatewayVariant("gateway", PLAIN),
    GatewayVariant(
        "gateway-policies",
        PLAIN.replace("    backend: mock\n", "    backend: mock\n    policy: policies/llm.xml\n"),
        {"policies/llm.xml": POLICIES},
    ),
)
