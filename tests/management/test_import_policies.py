"""The options of the wizard's tabs become a policy document as API Management writes it, with the backends it names."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from ruamel.yaml import YAML

from tests.management.importing import run_import, texts

LOCAL = ("openai", "--url", "http://127.0.0.1:9/v1", "--display-name", "Local")

ALL_TABS = """\
<policies>
    <inbound>
        <base />
        <set-backend-service id="apim-generated-policy" backend-id="local-ai-endpoint" />
        <llm-token-limit counter-key="@(context.Subscription.Id)" tokens-per-minute="500" token-quota="90000" \
token-quota-period="Monthly" estimate-prompt-tokens="true" \
remaining-quota-tokens-header-name="remaining-quota-tokens" remaining-tokens-header-name="left" \
tokens-consumed-header-name="consumed-tokens" />
        <llm-emit-token-metric namespace="team">
            <dimension name="API ID" />
            <dimension name="User" value="@(context.Request.Headers.GetValueOrDefault(&quot;x-user&quot;))" />
        </llm-emit-token-metric>
        <llm-semantic-cache-lookup score-threshold="0.1" embeddings-backend-id="local-embeddings" \
embeddings-backend-auth="system-assigned" ignore-system-messages="true" max-message-count="10">
            <vary-by>@(context.Subscription.Id)</vary-by>
            <vary-by>@(context.Request.IpAddress)</vary-by>
        </llm-semantic-cache-lookup>
        <llm-content-safety backend-id="local-content-safety" shield-prompt="true" enforce-on-completions="true">
            <categories output-type="EightSeverityLevels">
                <category name="SelfHarm" threshold="0" />
                <category name="Hate" threshold="4" />
            </categories>
            <blocklists>
                <id>names</id>
            </blocklists>
        </llm-content-safety>
    </inbound>
    <backend>
        <base />
    </backend>
    <outbound>
        <llm-semantic-cache-store duration="120" />
        <base />
    </outbound>
    <on-error>
        <base />
    </on-error>
</policies>
"""


async def test_every_tab_writes_its_policy(tmp_path: Path) -> None:
    tokens = "--tokens-per-minute 500 --token-quota 90000 --token-quota-period Monthly --estimate-prompt-tokens".split()
    metric = ["--metric-namespace", "team", "--metric-dimension", "api id", "--metric-dimension"]
    metric.append('User=@(context.Request.Headers.GetValueOrDefault("x-user"))')
    cache = (
        "--cache-embeddings-url https://contoso.openai.azure.com --cache-embeddings-deployment embed"
        " --cache-duration 120 --cache-score-threshold 0.1 --cache-vary-by subscription --cache-vary-by ip"
        " --cache-ignore-system-messages --cache-max-message-count 10"
    ).split()
    safety = (
        "--content-safety-url https://cs.cognitiveservices.azure.com/ --content-safety-category selfharm=0"
        " --content-safety-category Hate=4 --content-safety-levels EightSeverityLevels --shield-prompt"
        " --enforce-on-completions --content-safety-blocklist names"
    ).split()
    code = await run_import(
        tmp_path, *LOCAL, *tokens, "--remaining-tokens-header-name", "left", *metric, *cache, *safety
    )
    assert code == 0
    document = (tmp_path / "policies" / "local.xml").read_text()
    assert document.partition("\n")[2] == ALL_TABS
    ElementTree.fromstring(document)
    backends = YAML(typ="safe").load((tmp_path / "gateway.yaml").read_text())["backends"]
    identity = {"managed_identity": {"resource": "https://cognitiveservices.azure.com"}}
    assert backends["local-embeddings"]["url"] == "https://contoso.openai.azure.com/openai/deployments/embed/embeddings"
    assert backends["local-content-safety"]["url"] == "https://cs.cognitiveservices.azure.com"
    assert backends["local-embeddings"]["credentials"] == backends["local-content-safety"]["credentials"] == identity


async def test_embeddings_on_the_same_host_take_the_same_key(tmp_path: Path) -> None:
    words = ("--key-env", "K", "--cache-embeddings-url", "http://127.0.0.1:9/v1/embeddings")
    assert await run_import(tmp_path, *LOCAL, *words) == 0
    backends = YAML(typ="safe").load((tmp_path / "gateway.yaml").read_text())["backends"]
    key = {"header": {"Authorization": "Bearer {{local-key}}"}}
    assert backends["local-embeddings"]["credentials"] == backends["local-ai-endpoint"]["credentials"] == key


async def test_services_policies_call_take_their_own_keys_in_the_headers_they_know(tmp_path: Path) -> None:
    words = ("--cache-embeddings-url", "https://e.example/embeddings", "--cache-embeddings-key-env", "E")
    words += ("--content-safety-url", "https://cs.example", "--content-safety-key-env", "CS")
    assert await run_import(tmp_path, *LOCAL, *words) == 0
    backends = YAML(typ="safe").load((tmp_path / "gateway.yaml").read_text())["backends"]
    assert backends["local-embeddings"]["credentials"] == {"header": {"api-key": "{{local-cache-embeddings-key}}"}}
    assert backends["local-content-safety"]["credentials"] == {
        "header": {"Ocp-Apim-Subscription-Key": "{{local-content-safety-key}}"}
    }


@pytest.mark.parametrize(
    ("options", "counter_key"),
    [
        ("--limit-by api", "@(context.Api.Id)"),
        ("--limit-by ip", "@(context.Request.IpAddress)"),
        ("--limit-by product", '@(context.Product?.Id ?? "none")'),
        ("--limit-by subscription --no-subscription-required", '@(context.Subscription?.Id ?? "none")'),
        ("--limit-by @(context.User.Id)", "@(context.User.Id)"),
    ],
)
async def test_limit_is_counted_by_what_was_asked(tmp_path: Path, options: str, counter_key: str) -> None:
    assert await run_import(tmp_path, *LOCAL, "--tokens-per-minute", "10", *options.split()) == 0
    document = ElementTree.parse(tmp_path / "policies" / "local.xml")
    limit = document.find("inbound/llm-token-limit")
    assert limit is not None
    assert limit.attrib["counter-key"] == counter_key
    assert "token-quota" not in limit.attrib


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--limit-by api", "a token limit needs --tokens-per-minute"),
        ("--token-quota 5", "--token-quota and --token-quota-period go together"),
        ("--tokens-per-minute 5 --limit-by subscripton", "neither a known name nor a policy expression"),
        ("--tokens-per-minute 5 --limit-by @(context.Subscription.Id", "neither a known name nor a policy expression"),
        ("--metric-dimension Team", "--metric-dimension Team needs a value"),
        ("--cache-duration 5", "semantic caching needs --cache-embeddings-backend"),
        ("--cache-embeddings-backend other", "there is no backend other"),
        ("--cache-embeddings-url http://127.0.0.1:9/v1", "must end in /embeddings"),
        ("--cache-embeddings-url http://127.0.0.1:9/embeddings --cache-score-threshold 2", "must be from 0 to 1"),
        ("--shield-prompt", "content safety needs --content-safety-url"),
        ("--content-safety-url https://cs.example --content-safety-category Hate=9", "must be from 0 to 7"),
        ("--content-safety-url https://cs.example --content-safety-category Spam=1", "one of Hate, SelfHarm"),
        ("--key-vault https://v.vault.azure.net/secrets/k --key-env K", "--key-vault excludes"),
        ("--key-env 7UP", "not a name of an environment variable"),
        ("--key-env K --identity-resource https://ai.azure.com", "--identity-resource and an access key exclude"),
        ("--content-safety-backend cs --content-safety-key-env K", "excludes the options of a new"),
        ("--cache-embeddings-backend e --cache-embeddings-key-env K", "excludes the options of a new"),
        ("--id ../up", "letters, digits, dots"),
        ("--display-name 模型", "give one with --id"),
        ("--path a//b", "must be plain path segments"),
    ],
)
async def test_options_that_do_not_fit_are_refused(tmp_path: Path, capsys: Any, options: str, says: str) -> None:
    assert await run_import(tmp_path, *LOCAL, *options.split()) == 1
    assert says in capsys.readouterr().err
    assert texts(tmp_path) == {}
