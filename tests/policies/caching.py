"""What the tests of caching policies share: documents that store for POST and read otherwise, a backend that counts."""

from typing import Any

from tests.support.policies import Running, document
from tests.support.service import Reply, Service

RETURN = "<return-response><set-body>@(%s)</set-body></return-response>"
STORE_VALUE = '<cache-store-value key="k" value="@(%s)" duration="60" caching-type="internal" />'
LOOKUP_VALUE = '<cache-lookup-value key="k" variable-name="v" caching-type="internal" />'


def by_method(post: str, get: str) -> str:
    """A document that does one thing for POST and another for the rest."""
    when = """<when condition='@(context.Request.Method == "POST")'>"""
    return document(inbound=f"<choose>{when}{post}{RETURN % 'null'}</when></choose>{get}")


LOOKUP = """<cache-lookup vary-by-developer="false" vary-by-developer-groups="false" caching-type="internal" %s>
  %s</cache-lookup>"""
STORE = '<cache-store duration="60" />'


class Counting(Service):
    """Answers each request with its number."""

    def __init__(self, headers: dict[str, str] | None = None, status: int = 200) -> None:
        super().__init__()
        self.default = lambda request: Reply(
            status, str(len(self.requests)).encode(), {"content-type": "text/plain", **(headers or {})}
        )


def caching(attributes: str = "", children: str = "", store: str = STORE, before: str = "", after: str = "") -> str:
    return document(inbound=before + LOOKUP % (attributes, children), outbound=store + after)


def texts(gateway: Running, *paths: str, **options: Any) -> list[str]:
    return [gateway.call(path=path, **options).text for path in paths]
