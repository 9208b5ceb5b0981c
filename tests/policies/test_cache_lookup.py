"""cache-lookup: what is answered from the cache, and for whom."""

import threading

import httpx

from tests.policies.caching import LOOKUP, STORE, Counting, caching, texts
from tests.support.policies import document, policies, problems


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


def test_a_miss_asks_for_the_whole_response() -> None:
    conditional = {"if-none-match": '"1"', "range": "bytes=0-1", "cache-control": "max-age=0"}
    with Counting() as service, policies(caching(), service.url) as gateway:
        gateway.call(path="/a", headers=conditional)
        assert [service.requests[0].header(name) for name in conditional] == [None, None, None]


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
