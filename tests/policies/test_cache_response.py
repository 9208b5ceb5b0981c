"""cache-lookup and cache-store: what is answered from the cache, for whom, and what never is."""

import threading
from typing import Any

import httpx
import pytest

from tests.policies.running import Running, document, policies, problems
from tests.support.service import Reply, Service

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


def test_the_second_get_is_answered_from_the_cache() -> None:
    with Counting() as service, policies(caching(), service.url) as gateway:
        assert texts(gateway, "/a", "/a", "/b", "/a?x=1", "/a?x=2", "/a?x=1") == ["1", "1", "2", "3", "4", "3"]
        assert gateway.call("POST", "/a").text == "5"
        hit = gateway.call(path="/a")
        assert (hit.status_code, hit.headers["content-type"], hit.headers["cache-control"]) == (
            200,
            "text/plain",
            "no-store",
        )


def test_outbound_goes_on_after_cache_store() -> None:
    seen = '<set-header name="x-%s"><value>@(context.RequestId.ToString())</value></set-header>'
    with Counting() as service:
        xml = caching(store=seen % "before" + STORE, after=seen % "after")
        with policies(xml, service.url) as gateway:
            first, second = gateway.call(path="/a"), gateway.call(path="/a")
    assert first.headers["x-before"] == second.headers["x-before"] == first.headers["x-after"]
    assert second.headers["x-after"] == second.headers["x-request-id"] != first.headers["x-after"]


def test_only_named_parameters_and_headers_count() -> None:
    children = """<vary-by-header>Accept</vary-by-header><vary-by-header>X-Tenant</vary-by-header>
        <vary-by-query-parameter>a;b</vary-by-query-parameter>"""
    with Counting() as service, policies(caching(children=children), service.url) as gateway:
        assert texts(gateway, "/q?a=1&c=1", "/q?c=2&a=1", "/q?a=2", "/q?a=1&b=1") == ["1", "1", "2", "3"]
        assert gateway.call(path="/q?a=1b2").text != gateway.call(path="/q?a=1&b=2b").text
        first = gateway.call(path="/q", headers={"x-tenant": "1", "accept": "2"}).text
        assert gateway.call(path="/q", headers={"x-tenant": "", "accept": "12"}).text != first
        assert gateway.call(path="/q", headers={"X-TENANT": "1", "accept": "2"}).text == first


def test_requests_with_authorization_are_cached_only_where_the_author_says_so() -> None:
    headers = {"authorization": "Bearer a"}
    with Counting() as service, policies(caching(), service.url) as gateway:
        assert texts(gateway, "/a", "/a", headers=headers) == ["1", "2"]
        assert texts(gateway, "/a", "/a") == ["3", "3"]
        assert texts(gateway, "/a", headers=headers) == ["4"]
    allowed = caching('allow-private-response-caching="true"', "<vary-by-header>Authorization</vary-by-header>")
    with Counting() as service, policies(allowed, service.url) as gateway:
        assert texts(gateway, "/a", "/a", headers=headers) == ["1", "1"]
        assert texts(gateway, "/a", headers={"authorization": "Bearer b"}) == ["2"]


@pytest.mark.parametrize(
    ("service", "store", "cached"),
    [
        (Counting(status=404), STORE, False),
        (Counting(status=404), '<cache-store duration="60" cache-response="true" />', True),
        (Counting({"set-cookie": "a=b"}), STORE, False),
        (Counting({"content-type": "text/event-stream"}), STORE, False),
        (Counting(), '<cache-store duration="0" />', False),
    ],
)
def test_what_is_cached(service: Service, store: str, cached: bool) -> None:
    with service, policies(caching(store=store), service.url) as gateway:
        assert texts(gateway, "/a", "/a") == (["1", "1"] if cached else ["1", "2"])


def test_a_streamed_body_is_kept_when_it_is_small_and_whole() -> None:
    with Service() as service:
        for path, size in (("/small", 900_000), ("/large", 1_100_000)):
            service.routes[path] = lambda request, size=size: Reply(200, b"x" * size)
        with policies(caching(), service.url) as gateway:
            for path, expected in (("/small", 1), ("/large", 2)):
                sizes = [len(gateway.call(path=path).content) for _ in range(2)]
                assert sizes[0] == sizes[1] > 800_000
                assert sum(request.path == path for request in service.requests) == expected
            with gateway.client.stream("GET", "/api/gone") as half:
                half.close()


def test_a_compressed_response_serves_callers_that_cannot_unpack_it() -> None:
    import gzip

    with Service() as service:
        service.default = lambda request: Reply(200, gzip.compress(b"unpacked"), {"content-encoding": "gzip"})
        with policies(caching(), service.url) as gateway:
            assert gateway.call(path="/a").text == "unpacked"
            plain = httpx.get(f"{gateway.url}/api/a", headers={"accept-encoding": "identity"})
            assert (plain.content, plain.headers.get("content-encoding")) == (b"unpacked", None)
        assert len(service.requests) == 1


def test_a_miss_asks_for_the_whole_response() -> None:
    conditional = {"if-none-match": '"1"', "range": "bytes=0-1", "cache-control": "max-age=0"}
    with Counting() as service, policies(caching(), service.url) as gateway:
        gateway.call(path="/a", headers=conditional)
        assert [service.requests[0].header(name) for name in conditional] == [None, None, None]


def test_downstream_caches_are_told_what_they_may_do() -> None:
    with Counting() as service:
        with policies(caching('downstream-caching-type="public"'), service.url) as gateway:
            gateway.call(path="/a")
            kept = gateway.call(path="/a").headers["cache-control"]
            assert kept.startswith("public, max-age=") and kept.endswith(", must-revalidate")
            assert 50 <= int(kept.split("=")[1].split(",")[0]) <= 60
        with policies(caching('downstream-caching-type="private" must-revalidate="false"'), service.url) as gateway:
            assert gateway.call(path="/a").headers["cache-control"] == "private, max-age=60"


def test_developers_do_not_see_each_others_responses() -> None:
    lookup = '<cache-lookup vary-by-developer="true" vary-by-developer-groups="false" />'
    subscriptions = """
        named_values: { a: key-of-a, b: key-of-b, c: key-of-c }
        subscriptions:
          a: { display_name: A, scope: all-apis, owner: alice, keys: { primary: "{{a}}" } }
          b: { display_name: B, scope: all-apis, owner: bob, keys: { primary: "{{b}}" } }
          c: { display_name: C, scope: all-apis, owner: alice, keys: { primary: "{{c}}" } }
        """
    with Counting() as service:
        xml = document(inbound=lookup, outbound=STORE)
        with policies(xml, service.url, config=subscriptions, api={"subscription_required": True}) as gateway:
            got = [gateway.call(path="/a", headers={"api-key": f"key-of-{name}"}).text for name in "aabc"]
            assert got == ["1", "1", "2", "1"]


def test_many_misses_at_once_are_all_answered() -> None:
    with Counting() as service, policies(caching(), service.url) as gateway:
        found: list[str] = []
        threads = [
            threading.Thread(target=lambda: found.append(httpx.get(f"{gateway.url}/api/a").text)) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8 and gateway.call(path="/a").text in found


def test_what_is_wrong_is_told_at_load() -> None:
    found = problems(document(inbound="<cache-lookup />" + LOOKUP % ("", "")))
    assert any("attribute vary-by-developer is required" in problem for problem in found)
    assert any("cache-lookup can be used only once in inbound" in problem for problem in found)
    assert "only in outbound" in problems(document(inbound=STORE))[0]
