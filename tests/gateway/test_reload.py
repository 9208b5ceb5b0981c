"""What is served when the configuration is bad, missing or changes."""

import httpx

from tests.support.backend import Backend
from tests.support.running import Running, running, write
from tests.support.waiting import wait_until

GOOD = """
backends: { it: { url: "@backend@/v1", credentials: { header: { api-key: "{{secret}}" } } } }
named_values: { secret: { env: BACKEND_KEY } }
apis:
  one: { path: one, kind: openai, backend: it, subscription_required: false }
"""
BAD = GOOD.replace("backend: it", "backend: its")


def test_a_bad_first_configuration_answers_503_and_names_no_secret() -> None:
    environment = {"BACKEND_KEY": "backend-secret-value"}
    with running(BAD, values={"backend": "http://127.0.0.1:9"}, environment=environment) as gateway:
        answer = httpx.get(f"{gateway.url}/one/models")
        assert answer.status_code == 503 and answer.headers["retry-after"] == "10"
        assert answer.json()["message"] == "The gateway has no valid configuration."
        assert "backend-secret-value" not in answer.text and "its" not in answer.text
        assert gateway.app.problems == ["gateway.yaml:5 apis.one.backend: no backend its, did you mean it?"]
        assert httpx.get(f"{gateway.url}/status-0123456789abcdef").status_code == 200


def test_a_missing_secret_is_a_problem_and_not_an_empty_header() -> None:
    with running(GOOD, values={"backend": "http://127.0.0.1:9"}) as gateway:
        assert httpx.get(f"{gateway.url}/one/models").status_code == 503
        assert gateway.app.problems == [
            "gateway.yaml:3 named_values.secret: environment variable BACKEND_KEY is not set",
        ]


def test_a_changed_file_is_taken_up_and_a_bad_one_is_not() -> None:
    with (
        Backend() as backend,
        running(
            GOOD,
            values={"backend": backend.url},
            environment={"BACKEND_KEY": "x", "GATEWAY_RELOAD_SECONDS": "0.05"},
        ) as gateway,
    ):
        assert status(gateway, "/one/models") == 200
        change(gateway, GOOD.replace("path: one", "path: two"), backend)
        wait_until(lambda: status(gateway, "/two/models") == 200)
        assert status(gateway, "/one/models") == 404
        change(gateway, BAD, backend)
        wait_until(lambda: status(gateway, "/two/models") == 200 and gateway.app.problems != [])
        assert status(gateway, "/one/models") == 404
        change(gateway, GOOD, backend)
        wait_until(lambda: status(gateway, "/one/models") == 200 and gateway.app.problems == [])


def status(gateway: Running, path: str) -> int:
    return httpx.get(gateway.url + path).status_code


def change(gateway: Running, text: str, backend: Backend) -> None:
    write(gateway.folder / "gateway.yaml", text, {"backend": backend.url})
