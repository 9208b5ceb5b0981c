"""The wizard's tab "Manage token consumption": llm-token-limit and llm-emit-token-metric."""

from argparse import ArgumentParser, ArgumentTypeError, BooleanOptionalAction, Namespace
from xml.etree.ElementTree import Element

from shared.management.importers.importer import ImportFailed
from shared.management.importers.policy_document import element, expression

PERIODS = ("Hourly", "Daily", "Weekly", "Monthly", "Yearly")

# Null-safe where APIM's own are not: a call need not have a subscription or a product.
COUNTER_KEYS = {
    "subscription": "@(context.Subscription.Id)",
    "api": "@(context.Api.Id)",
    "product": '@(context.Product?.Id ?? "none")',
    "ip": "@(context.Request.IpAddress)",
}
WITHOUT_SUBSCRIPTION = '@(context.Subscription?.Id ?? "none")'

# The names the wizard chooses; the other attributes are written only when asked for.
REPORTS = {
    "retry-after-header-name": None,
    "retry-after-variable-name": None,
    "remaining-quota-tokens-header-name": "remaining-quota-tokens",
    "remaining-quota-tokens-variable-name": None,
    "remaining-tokens-header-name": "remaining-tokens",
    "remaining-tokens-variable-name": None,
    "tokens-consumed-header-name": "consumed-tokens",
    "tokens-consumed-variable-name": None,
}

# https://learn.microsoft.com/azure/api-management/llm-emit-token-metric-policy: names that need no value.
DEFAULT_DIMENSIONS = (
    "API ID",
    "Operation ID",
    "Product ID",
    "User ID",
    "Subscription ID",
    "Location",
    "Gateway ID",
    "Backend ID",
)
WIZARD_DIMENSIONS = ("API ID", "Subscription ID", "User ID", "Product ID")


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of the tab."""
    limit = parser.add_argument_group("token limit (llm-token-limit)")
    limit.add_argument("--tokens-per-minute", type=_positive, metavar="N")
    limit.add_argument("--token-quota", type=_positive, metavar="N", help="tokens per --token-quota-period")
    limit.add_argument("--token-quota-period", choices=PERIODS)
    limit.add_argument(
        "--limit-by",
        metavar="WHAT",
        help=f"what is counted apart: {', '.join(COUNTER_KEYS)}, or a policy expression (default subscription)",
    )
    limit.add_argument(
        "--estimate-prompt-tokens",
        action=BooleanOptionalAction,
        default=None,
        help="count the prompt before the call, so that a call that does not fit is refused up front (default: no)",
    )
    for attribute, default in REPORTS.items():
        limit.add_argument(f"--{attribute}", metavar="NAME", help=f"default {default}" if default else None)
    metric = parser.add_argument_group("token tracking (llm-emit-token-metric)")
    metric.add_argument("--track-tokens", action="store_true", help="emit token metrics")
    metric.add_argument("--metric-namespace", metavar="TEXT")
    metric.add_argument(
        "--metric-dimension",
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help=f"repeat; the value may be an expression; without one: {', '.join(DEFAULT_DIMENSIONS)}",
    )


def policies(arguments: Namespace) -> list[Element]:
    """The inbound policies the options ask for. ImportFailed when they do not fit together."""
    return [*_token_limit(arguments), *_token_metric(arguments)]


def _token_limit(arguments: Namespace) -> list[Element]:
    options = vars(arguments)
    reports = {name: options[name.replace("-", "_")] for name in REPORTS}
    quota, period, per_minute = arguments.token_quota, arguments.token_quota_period, arguments.tokens_per_minute
    if (quota is None) != (period is None):
        raise ImportFailed("--token-quota and --token-quota-period go together")
    if per_minute is None and quota is None:
        if arguments.limit_by or arguments.estimate_prompt_tokens is not None or any(reports.values()):
            raise ImportFailed("a token limit needs --tokens-per-minute, or --token-quota with --token-quota-period")
        return []
    defaults = dict(REPORTS)
    if quota is None:
        defaults["remaining-quota-tokens-header-name"] = None
    if per_minute is None:
        defaults["remaining-tokens-header-name"] = None
    attributes = {
        "counter-key": counter_key(arguments.limit_by or "subscription", arguments, option="--limit-by"),
        "tokens-per-minute": per_minute,
        "token-quota": quota,
        "token-quota-period": period,
        "estimate-prompt-tokens": bool(arguments.estimate_prompt_tokens),
        **{name: reports[name] or default for name, default in defaults.items()},
    }
    return [element("llm-token-limit", attributes)]


def counter_key(name: str, arguments: Namespace, *, option: str) -> str:
    """The expression for what is counted, or kept, apart: a known name or an expression as it is."""
    if name == "subscription" and arguments.subscription_required is False:
        return WITHOUT_SUBSCRIPTION
    return COUNTER_KEYS.get(name) or expression(name, option=option)


def _token_metric(arguments: Namespace) -> list[Element]:
    if not (arguments.track_tokens or arguments.metric_namespace or arguments.metric_dimension):
        return []
    metric = element("llm-emit-token-metric", {"namespace": arguments.metric_namespace})
    metric.extend([_dimension(text) for text in arguments.metric_dimension or WIZARD_DIMENSIONS])
    return [metric]


def _dimension(text: str) -> Element:
    name, separator, value = text.partition("=")
    if separator:
        return element("dimension", {"name": name, "value": value})
    known = next((default for default in DEFAULT_DIMENSIONS if default.lower() == name.lower()), None)
    if known is None:
        raise ImportFailed(f"--metric-dimension {name} needs a value: '{name}=...'")
    return element("dimension", {"name": known})


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)
