"""Pools and breakers in gateway.yaml: what loads, and what is told with file and line when it does not."""

from pathlib import Path

import pytest

from shared.config.backends import Backend
from shared.config.loader import Loaded, load
from shared.config.models import Logger

SERVICES = """\
backends:
  one: { url: "https://one.example" }
  two: { url: "https://two.example" }
  pool:
    pool:
"""


async def loaded(folder: Path, pool: str) -> Loaded:
    file = folder / "gateway.yaml"
    file.write_text(SERVICES + "".join(f"      {line}\n" for line in pool.splitlines()))
    return await load(file, {})


def test_a_url_may_come_from_a_text_that_ends_in_a_line_feed() -> None:
    assert Backend(url="https://llm.example/v1/\n").url == "https://llm.example/v1"
    logger = Logger(endpoint="https://hub.servicebus.windows.net\n", event_hub="calls")
    assert logger.endpoint == "https://hub.servicebus.windows.net"


async def test_apims_fields_load(tmp_path: Path) -> None:
    text = """\
services: [{ id: one, priority: 1, weight: 70 }, { id: two, priority: 2 }]
session_affinity: { cookie: SessionId }
failure_response: { status_code: 429 }"""
    found = await loaded(tmp_path, text)
    assert not found.problems and found.gateway is not None
    pool = found.gateway.backends["pool"].pool
    assert pool is not None and (pool.failure_response, pool.failover, pool.selection) == (429, False, "priority")
    assert [(one.id, one.priority, one.weight) for one in pool.services] == [("one", 1, 70), ("two", 2, 1)]


@pytest.mark.parametrize(
    ("pool", "problem"),
    [
        (
            "services: [{ id: oen }]",
            "gateway.yaml:6 backends.pool.pool.services.0.id: no backend oen, did you mean one?",
        ),
        (
            "services: [{ id: pool }]",
            "gateway.yaml:6 backends.pool.pool.services.0.id: pool is a pool itself: members are single backends",
        ),
        ("services: []", "gateway.yaml:5 backends.pool.pool: 1 to 30 services are needed"),
        (
            "services:\n" + "".join(f"  - id: b{at}\n" for at in range(31)),
            "gateway.yaml:5 backends.pool.pool: 1 to 30 services are needed",
        ),
        ("services: [{ id: one }, { id: one }]", "gateway.yaml:5 backends.pool.pool: named twice: one"),
        (
            "services:\n  - id: one\n    weigth: 3",
            "gateway.yaml:8 backends.pool.pool.services.0.weigth: unknown key weigth, did you mean weight?",
        ),
        (
            "services: [{ id: one }]\nfailover_on: [429]",
            "gateway.yaml:5 backends.pool.pool: failover_on goes with failover: true",
        ),
        (
            "services: [{ id: one }]\nfailover: true\nfailover_on: [never]",
            "gateway.yaml:8 backends.pool.pool.failover_on.0: must be connection, timeout, a status such as 429",
        ),
        (
            "services: [{ id: one }]\nspill: { a: b, b: a }",
            "gateway.yaml:5 backends.pool.pool: spill goes in a circle: a -> b -> a",
        ),
    ],
)
async def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, pool: str, problem: str) -> None:
    found = await loaded(tmp_path, pool)
    assert [str(one) for one in found.problems if str(one).startswith(problem)], found.problems


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("{}", "url is required, or pool"),
        ('{ url: "https://a", pool: { services: [{ id: one }] } }', "a pool has no url"),
        (
            "{ pool: { services: [{ id: one }] }, credentials: { header: { api-key: k } } }",
            "a pool has no credentials: its members have",
        ),
        ('{ url: "https://a", circuit_breaker: { rules: [] } }', "exactly one rule is needed"),
    ],
)
async def test_a_backend_is_a_service_or_a_pool(tmp_path: Path, declared: str, message: str) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(f'backends:\n  one: {{ url: "https://one" }}\n  it: {declared}\n')
    (problem,) = (await load(file, {})).problems
    assert str(problem).startswith("gateway.yaml:3 backends.it") and message in str(problem)
