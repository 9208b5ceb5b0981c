"""What the compiler makes of a document: named values in place, every mistake told with its line."""

from pathlib import Path

import httpx

from shared.management.check import check
from tests.support.backend import Backend
from tests.support.policies import document, problems
from tests.support.running import running

CONFIG = """
named_values:
  region: westeurope
  whole-expression: '@(context.Request.Headers.GetValueOrDefault("x-who", "nobody"))'
  part: '"a" + "b"'
  seconds: 5
backends: { it: { url: "@backend@/v1" } }
apis:
  one: { path: one, kind: openai, backend: it, subscription_required: false, policy: one.xml }
"""


def test_named_values_stand_anywhere() -> None:
    policy = """
<policies>
  <inbound>
    <set-header name="x-{{region}}" exists-action="override"><value>in {{ region }}</value></set-header>
    <set-header name="x-from" exists-action="override"><value>{{whole-expression}}</value></set-header>
    <set-variable name="who" value="{{whole-expression}}" />
    <set-header name="x-part" exists-action="override"><value>@({{part}} + "{{region}}")</value></set-header>
    <set-header name="x-too" exists-action="override"><value>@((string)context.Variables["who"])</value></set-header>
  </inbound>
  <backend><forward-request timeout="{{seconds}}" /></backend>
</policies>"""
    with Backend() as backend, running(CONFIG, files={"one.xml": policy}, values={"backend": backend.url}) as gateway:
        httpx.get(f"{gateway.url}/one/models", headers={"x-who": "me"})
        sent = {name: backend.last.header(name) for name in ("x-westeurope", "x-from", "x-part", "x-too")}
        assert sent == {"x-westeurope": "in westeurope", "x-from": "me", "x-part": "abwesteurope", "x-too": "me"}


async def test_five_mistakes_five_messages(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(CONFIG.replace("@backend@", "http://127.0.0.1:9"))
    (tmp_path / "one.xml").write_text(
        """<policies>
  <inbound>
    <base />
    <set-heeder name="a"><value>b</value></set-heeder>
    <set-variable name="x" value="@(context.Request.Boddy.As<JObject>())" />
    <choose>
      <when condition="true">
        <forward-request />
      </when>
    </choose>
    <set-header name="y" exist-action="skip"><value>{{regin}}</value></set-header>
  </inbound>
</policies>"""
    )
    problems = [str(problem) for problem in await check(tmp_path / "gateway.yaml", {}, placeholders=False)]
    assert problems == [
        "one.xml:4 inbound/set-heeder: unknown policy set-heeder, did you mean set-header?",
        "one.xml:5 inbound/set-variable: 'IRequest' has no member 'Boddy', did you mean Body?",
        "one.xml:8 inbound/choose/when/forward-request: forward-request is not allowed in inbound (only in backend)",
        "one.xml:11 inbound/set-header: unknown attribute exist-action, did you mean exists-action?",
        "one.xml:11 inbound/set-header/value: named value regin is not declared, did you mean region?",
    ]


def test_what_would_be_passed_over_is_told() -> None:
    mistakes = """<base at="api"><set-variable name="a" value="b" /></base>
<include-fragment fragment-id="shared" when="@(true)">text</include-fragment>
<set-header name="a"><value type="text"><b>x</b></value></set-header>"""
    found = problems(document(mistakes), config="fragments: { shared: f.xml }", files={"f.xml": "<fragment />"})
    assert found == [
        "operation.xml:1 inbound/base: unknown attribute at",
        "operation.xml:1 inbound/base/set-variable: base has no child element set-variable",
        "operation.xml:2 inbound/include-fragment: unexpected text: text",
        "operation.xml:2 inbound/include-fragment: unknown attribute when",
        "operation.xml:3 inbound/set-header/value: unknown attribute type",
        "operation.xml:3 inbound/set-header/value/b: value has no child element b",
    ]
