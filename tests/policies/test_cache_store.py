"""cache-store: which responses are kept, and in which form."""

import gzip

import httpx
import pytest

from tests.policies.caching import STORE, Counting, caching, texts
from tests.support.policies import policies
from tests.support.service import Reply, Service


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
    with Service() as service:
        service.default = lambda request: Reply(200, gzip.compress(b"unpacked"), {"content-encoding": "gzip"})
        with policies(caching(), service.url) as gateway:
            assert gateway.call(path="/a").text == "unpacked"
            plain = httpx.get(f"{gateway.url}/api/a", headers={"accept-encoding": "identity"})
            assert (plain.content, plain.headers.get("content-encoding")) == (b"unpacked", None)
        assert len(service.requests) == 1


def test_a_body_that_unpacks_to_more_than_the_cache_takes_is_not_kept() -> None:
    with Service() as service:
        packed = gzip.compress(b"x" * 2_000_000)
        service.default = lambda request: Reply(200, packed, {"content-encoding": "gzip"})
        with policies(caching(), service.url) as gateway:
            assert [len(gateway.call(path="/a").content) for _ in range(2)] == [2_000_000] * 2
        assert len(service.requests) == 2


def test_downstream_caches_are_told_what_they_may_do() -> None:
    with Counting() as service:
        with policies(caching('downstream-caching-type="public"'), service.url) as gateway:
            gateway.call(path="/a")
            kept = gateway.call(path="/a").headers["cache-control"]
            assert kept.startswith("public, max-age=") and kept.endswith(", must-revalidate")
            assert 50 <= int(kept.split("=")[1].split(",")[0]) <= 60
        with policies(caching('downstream-caching-type="private" must-revalidate="false"'), service.url) as gateway:
            assert gateway.call(path="/a").headers["cache-control"] == "private, max-age=60"
