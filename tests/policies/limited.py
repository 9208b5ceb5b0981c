"""A gateway with a product, a subscription to it and limits of theirs, for the tests of rate-limit and quota."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.support.backend import Backend
from tests.support.policies import document
from tests.support.running import running

CONFIG = """
named_values: {gold: {env: GOLD_KEY}}
backends: {model: {url: "@backend@/v1"}}
products: {gold: {policy: gold.xml}, bronze: {}}
apis:
  chat: {display_name: Chat API, path: chat, kind: openai, backend: model, products: [gold], policy: chat.xml}
  other: {display_name: Other API, path: other, kind: openai, backend: model, products: [gold]}
  open: {path: open, kind: openai, backend: model, subscription_required: false, policy: chat.xml}
subscriptions:
  sub: {scope: "product:gold", keys: {primary: "{{gold}}"}}
"""
GOLD = "golden-key-golden-key-golden-key"


class Caller:
    """Calls operations with a key."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def __call__(self, path: str, key: str | None = GOLD) -> int:
        self.answer = self.client.get(path, headers={"api-key": key} if key else {})
        return self.answer.status_code


@contextmanager
def limited(model: Backend, *, product: str = "", api: str = "") -> Iterator[Caller]:
    """Run it with these policies of the product, and of the APIs `chat` and `open`."""
    files = {"gold.xml": document(f"<base />{product}"), "chat.xml": document(f"<base />{api}")}
    with running(CONFIG, files=files, values={"backend": model.url}, environment={"GOLD_KEY": GOLD}) as gateway:
        with httpx.Client(base_url=gateway.url, trust_env=False) as client:
            yield Caller(client)
