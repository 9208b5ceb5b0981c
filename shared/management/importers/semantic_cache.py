"""The wizard's tab "Apply semantic caching": llm-semantic-cache-lookup, -store, and the embeddings backend."""

from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from shared.management.importers import access_key
from shared.management.importers.importer import Entry, ImportFailed, Outside, Setting
from shared.management.importers.llm_backend import MainBackend, backend_url, helper_credentials
from shared.management.importers.policy_document import element
from shared.management.importers.token_consumption import counter_key

PREFIX = "cache-embeddings-"
KEY_HEADER = "api-key"
NEW_BACKEND = ("cache_embeddings_url", "cache_embeddings_deployment", "cache_embeddings_key_")
DEFAULT_SCORE_THRESHOLD = 0.05  # where the policy's page says to start; above 0.2 wrong hits are likely
DEFAULT_DURATION = 60


@dataclass(frozen=True, slots=True)
class SemanticCache:
    """Policies and backend of a semantic cache; all empty when none is asked for."""

    inbound: tuple[Element, ...] = ()
    outbound: tuple[Element, ...] = ()
    entries: tuple[Entry, ...] = ()
    settings: tuple[Setting, ...] = ()
    backend: str | None = None


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of the tab."""
    group = parser.add_argument_group("semantic caching (llm-semantic-cache-lookup and -store)")
    group.add_argument("--cache-embeddings-backend", metavar="ID", help="a declared backend that makes embeddings")
    group.add_argument("--cache-embeddings-url", metavar="URL", help="embeddings endpoint, or the resource it is in")
    group.add_argument("--cache-embeddings-deployment", metavar="NAME", help="embeddings deployment of that resource")
    group.add_argument(
        "--cache-score-threshold",
        type=float,
        metavar="DISTANCE",
        help=f"0 to 1, lower is stricter (default {DEFAULT_SCORE_THRESHOLD})",
    )
    group.add_argument("--cache-duration", type=int, metavar="SECONDS", help=f"default {DEFAULT_DURATION}")
    group.add_argument(
        "--cache-vary-by",
        action="append",
        metavar="WHAT",
        help="who has answers apart: subscription, api, product, ip, or an expression; repeat (default subscription)",
    )
    group.add_argument("--cache-ignore-system-messages", action=BooleanOptionalAction, default=None)
    group.add_argument("--cache-max-message-count", type=int, metavar="N", help="no caching of longer dialogues")
    access_key.add_arguments(parser, prefix=PREFIX, what="the embeddings backend", default_header=KEY_HEADER)


def from_arguments(
    arguments: Namespace, outside: Outside, *, api_id: str, resource_url: str | None, main: MainBackend
) -> SemanticCache:
    """What the options ask for; `resource_url` is the imported resource's, used for a deployment without a URL.

    ImportFailed when they do not fit together.
    """
    options = {name: value for name, value in vars(arguments).items() if name.startswith("cache_")}
    if all(value is None for value in options.values()):
        return SemanticCache()
    entries: tuple[Entry, ...] = ()
    settings: tuple[Setting, ...] = ()
    backend = arguments.cache_embeddings_backend
    if backend is None:
        backend = f"{api_id}-embeddings"
        url = _embeddings_url(arguments, resource_url)
        credentials, key = helper_credentials(
            arguments, outside, api_id=api_id, prefix=PREFIX, default_header=KEY_HEADER, url=url, main=main
        )
        entries = ((*key.entries,) if key else ()) + (Entry("backends", backend, _backend(url, credentials)),)
        settings = key.settings if key else ()
    elif any(value is not None for name, value in options.items() if name.startswith(NEW_BACKEND)):
        raise ImportFailed("--cache-embeddings-backend excludes the options of a new embeddings backend")
    store = element("llm-semantic-cache-store", {"duration": _duration(arguments)})
    return SemanticCache((_lookup(arguments, backend),), (store,), entries, settings, backend)


def _lookup(arguments: Namespace, backend: str) -> Element:
    threshold = DEFAULT_SCORE_THRESHOLD if arguments.cache_score_threshold is None else arguments.cache_score_threshold
    if not 0 <= threshold <= 1:
        raise ImportFailed("--cache-score-threshold must be from 0 to 1")
    lookup = element(
        "llm-semantic-cache-lookup",
        {
            "score-threshold": threshold,
            "embeddings-backend-id": backend,
            "embeddings-backend-auth": "system-assigned",
            "ignore-system-messages": arguments.cache_ignore_system_messages,
            "max-message-count": arguments.cache_max_message_count,
        },
    )
    for name in arguments.cache_vary_by or ("subscription",):
        vary = Element("vary-by")
        vary.text = counter_key(name, arguments, option="--cache-vary-by")
        lookup.append(vary)
    return lookup


def _duration(arguments: Namespace) -> int:
    duration = DEFAULT_DURATION if arguments.cache_duration is None else int(arguments.cache_duration)
    if duration < 1:
        raise ImportFailed("--cache-duration must be at least 1 second")
    return duration


def _embeddings_url(arguments: Namespace, resource_url: str | None) -> str:
    """The embeddings endpoint: as given, or that of a deployment (https://.../openai/deployments/<name>/embeddings)."""
    deployment, given = arguments.cache_embeddings_deployment, arguments.cache_embeddings_url or resource_url
    if given is None or (deployment is None and arguments.cache_embeddings_url is None):
        raise ImportFailed(
            "semantic caching needs --cache-embeddings-backend, or --cache-embeddings-url, "
            "or --cache-embeddings-deployment of an Azure OpenAI resource"
        )
    url = backend_url(given, option="--cache-embeddings-url")
    if deployment is None:
        if not url.endswith("/embeddings"):
            raise ImportFailed(
                "--cache-embeddings-url must end in /embeddings, or --cache-embeddings-deployment is needed"
            )
        return url
    root = url if url.endswith("/openai") else f"{url}/openai"
    return f"{root}/deployments/{deployment}/embeddings"


def _backend(url: str, credentials: dict[str, object]) -> dict[str, object]:
    return {"url": url, "title": "Embeddings for the semantic cache"} | (
        {"credentials": credentials} if credentials else {}
    )
