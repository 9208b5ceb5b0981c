"""The wizard's tab "AI content safety": llm-content-safety and the Content Safety backend."""

from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement

from shared.management.importers import access_key
from shared.management.importers.importer import Entry, ImportFailed, Outside, Setting
from shared.management.importers.llm_backend import MainBackend, backend_url, helper_credentials
from shared.management.importers.policy_document import element

PREFIX = "content-safety-"
KEY_HEADER = "Ocp-Apim-Subscription-Key"
NEW_BACKEND = ("content_safety_url", "content_safety_key_")
CATEGORIES = ("Hate", "SelfHarm", "Sexual", "Violence")
LEVELS = ("FourSeverityLevels", "EightSeverityLevels")
DEFAULT_THRESHOLD = 4


@dataclass(frozen=True, slots=True)
class ContentSafety:
    """Policy and backend of content safety; all empty when none is asked for."""

    inbound: tuple[Element, ...] = ()
    entries: tuple[Entry, ...] = ()
    settings: tuple[Setting, ...] = ()
    backend: str | None = None


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of the tab."""
    group = parser.add_argument_group("content safety (llm-content-safety)")
    group.add_argument("--content-safety-backend", metavar="ID", help="a declared backend that is Content Safety")
    group.add_argument("--content-safety-url", metavar="URL", help="https://<name>.cognitiveservices.azure.com")
    group.add_argument(
        "--content-safety-category",
        action="append",
        metavar="NAME=THRESHOLD",
        help=f"{', '.join(CATEGORIES)}; blocked from this severity (0-7) on; repeat (default: all {DEFAULT_THRESHOLD})",
    )
    group.add_argument("--content-safety-levels", choices=LEVELS, help=f"default {LEVELS[0]}")
    group.add_argument("--content-safety-blocklist", action="append", metavar="ID", help="repeat")
    group.add_argument("--content-safety-window-size", type=int, metavar="CHARACTERS")
    group.add_argument("--content-safety-window-overlap-size", type=int, metavar="CHARACTERS")
    group.add_argument(
        "--shield-prompt", action=BooleanOptionalAction, default=None, help="look for attacks in prompts"
    )
    group.add_argument(
        "--enforce-on-completions", action=BooleanOptionalAction, default=None, help="check answers as well"
    )
    access_key.add_arguments(parser, prefix=PREFIX, what="content safety", default_header=KEY_HEADER)


def from_arguments(arguments: Namespace, outside: Outside, *, api_id: str, main: MainBackend) -> ContentSafety:
    """What the options ask for. ImportFailed when they do not fit together."""
    backend, url = arguments.content_safety_backend, arguments.content_safety_url
    if backend is None and url is None:
        wanted = [name for name, value in vars(arguments).items() if name.startswith("content_safety_") and value]
        if wanted or arguments.shield_prompt is not None or arguments.enforce_on_completions is not None:
            raise ImportFailed("content safety needs --content-safety-url or --content-safety-backend")
        return ContentSafety()
    if backend is not None:
        if any(value is not None for name, value in vars(arguments).items() if name.startswith(NEW_BACKEND)):
            raise ImportFailed("--content-safety-backend excludes the options of a new content safety backend")
        return ContentSafety((_policy(arguments, backend),), backend=backend)
    backend = f"{api_id}-content-safety"
    url = backend_url(url, option="--content-safety-url").removesuffix("/contentsafety")
    credentials, key = helper_credentials(
        arguments, outside, api_id=api_id, prefix=PREFIX, default_header=KEY_HEADER, url=url, main=main
    )
    declared: dict[str, object] = {"url": url, "title": "Content Safety"}
    if credentials:
        declared["credentials"] = credentials
    entries = (*(key.entries if key else ()), Entry("backends", backend, declared))
    return ContentSafety((_policy(arguments, backend),), entries, key.settings if key else (), backend)


def _policy(arguments: Namespace, backend: str) -> Element:
    policy = element(
        "llm-content-safety",
        {
            "backend-id": backend,
            "shield-prompt": bool(arguments.shield_prompt),
            "enforce-on-completions": arguments.enforce_on_completions,
            "window-size": arguments.content_safety_window_size,
            "window-overlap-size": arguments.content_safety_window_overlap_size,
        },
    )
    categories = SubElement(policy, "categories", {"output-type": arguments.content_safety_levels or LEVELS[0]})
    chosen = arguments.content_safety_category or [f"{name}={DEFAULT_THRESHOLD}" for name in CATEGORIES]
    categories.extend([_category(text) for text in chosen])
    if arguments.content_safety_blocklist:
        blocklists = SubElement(policy, "blocklists")
        for id in arguments.content_safety_blocklist:
            SubElement(blocklists, "id").text = id
    return policy


def _category(text: str) -> Element:
    name, _, threshold = text.partition("=")
    known = next((category for category in CATEGORIES if category.lower() == name.lower()), None)
    if known is None:
        raise ImportFailed(f"--content-safety-category {name}: one of {', '.join(CATEGORIES)}")
    if threshold not in {"0", "1", "2", "3", "4", "5", "6", "7"}:
        raise ImportFailed(f"--content-safety-category {known}: the threshold must be from 0 to 7")
    return element("category", {"name": known, "threshold": threshold})
