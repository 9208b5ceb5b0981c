"""Paths, templates and APIs: what matches, and what must never escape."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.gateway.match import Apis, Operations, compile_template
from shared.llm.kinds import API_KINDS
from shared.message import canonical_path, without_query_parameters


def operations(*declared: str) -> Operations[str]:
    """Operations by `METHOD template`, each known by that text."""
    return Operations(compile_template(text, *text.split(" ", 1)) for text in declared)


CHAT = "POST /deployments/{deployment-id}/chat/completions?api-version={api-version}"


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("POST", "/deployments/gpt/chat/completions", "api-version=1", {"deployment-id": "gpt", "api-version": "1"}),
        ("POST", "/Deployments/gpt/Chat/Completions/", "api-version=1", {"deployment-id": "gpt", "api-version": "1"}),
        ("POST", "/deployments/a%20b/chat/completions", "x&api-version=", {"deployment-id": "a b", "api-version": ""}),
        ("POST", "/deployments/gpt-4o/chat/completions", "", None),
        ("POST", "/deployments/gpt-4o/chat/completions", "Api-Versions=1", None),
        ("GET", "/deployments/gpt-4o/chat/completions", "api-version=1", None),
        ("POST", "/deployments//chat/completions", "api-version=1", None),
        ("POST", "/deployments/a/b/chat/completions", "api-version=1", None),
        ("POST", "/x/deployments/a/chat/completions", "api-version=1", None),
    ],
)  # fmt: skip
def test_template_with_parameters_and_required_query(
    method: str, path: str, query: str, expected: dict[str, str] | None
) -> None:
    found = operations(CHAT).match(method, path, query)
    assert (found[1] if found else None) == expected


def test_most_exact_template_wins_whatever_the_order() -> None:
    table = operations("GET /*", "GET /models/{id}", "GET /models/mine", "GET /models/{id}/*", "GET /models/x-{id}")
    for path, expected in {
        "/models/mine": "GET /models/mine",
        "/models/x-1": "GET /models/x-{id}",
        "/models/other": "GET /models/{id}",
        "/models/other/deep/er": "GET /models/{id}/*",
        "/models/other/": "GET /models/{id}",
        "/else": "GET /*",
        "/": "GET /*",
    }.items():
        found = table.match("GET", path, "")
        assert found is not None and found[0] == expected, path


def test_rest_of_the_path_may_have_a_name() -> None:
    table = operations("GET /{*path}", "GET /models/{id}/{*rest}")
    for path, expected in {
        "/a/b%20c": ("GET /{*path}", {"path": "a/b c"}),
        "/": ("GET /{*path}", {"path": ""}),
        "/models/x/y/z": ("GET /models/{id}/{*rest}", {"id": "x", "rest": "y/z"}),
        "/models/x": ("GET /models/{id}/{*rest}", {"id": "x", "rest": ""}),
    }.items():
        assert table.match("GET", path, "") == expected, path


@pytest.mark.parametrize(
    ("declared", "path"),
    [
        (("GET /users/{id}", "GET /users/{id}/keys"), "/users/1%2Fkeys"),
        (("GET /users/{id}", "GET /users/{id}/keys"), "/users/1%252Fkeys"),
        (("GET /users/{id}", "GET /users/{id}/keys"), "/users/1%5Ckeys"),
        (("GET /users/{id}", "GET /users/{id}/keys"), "/users/1%2Fkeys;x"),
        (("GET /*", "GET /admin/*"), "/admin;x=1/keys"),
        (("GET /*", "GET /admin/*"), "/admin%3Bx/keys"),
        (("GET /*", "GET /admin/*"), "/;x/admin/keys"),
        (("GET /*", "GET /admin/keys"), "/admin/keys;x"),
        (("GET /models/{id}", "GET /models/{id}:train"), "/models/a%3Atrain"),
        (("GET /users/{id}", "GET /users"), "/users/;x"),
        (("GET /a/*", "GET /a/b/*"), "/a/b%2Fc"),
    ],
)
def test_a_path_that_servers_read_as_another_operation_is_nobodys(declared: tuple[str, ...], path: str) -> None:
    # Some decode before they look at segments (Starlette, Azure Functions), some drop what follows a ; (Tomcat): the
    # caller would have the one operation's policies and the other one's answer.
    assert canonical_path(path) == path
    assert operations(*declared).match("GET", path, "") is None
    assert operations(declared[0]).match("GET", path, "") is not None


def test_a_slash_in_a_name_stays_one_where_no_other_operation_would_have_it() -> None:
    table = operations(
        "GET /models/{id}", "GET /models", "POST /models/{id}/{act}", "GET /of/{value}", "GET /*", "PUT /*"
    )
    for method, path, captured in (
        ("GET", "/models/meta%2FLlama", {"id": "meta/Llama"}),
        ("GET", "/models/a%3Ab;v=1", {"id": "a:b;v=1"}),
        ("GET", "/of/;value=1", {"value": ";value=1"}),
        ("PUT", "/a%2Fb;c/d%252F", {}),
    ):
        found = table.match(method, path, "")
        assert found is not None and found[1] == captured, path


def test_fixed_query_value_chooses_between_operations() -> None:
    table = operations("POST /jobs?action=start", "POST /jobs?action=stop", "POST /jobs")
    for query, expected in {"action=start": 0, "action=stop&x=1": 1, "action=else": 2, "": 2}.items():
        found = table.match("POST", "/jobs", query)
        assert found is not None
        assert found[0] == ["POST /jobs?action=start", "POST /jobs?action=stop", "POST /jobs"][expected]


def test_longest_api_path_wins_on_whole_segments() -> None:
    apis = Apis([("llm", "llm"), ("llm/openai", "openai"), ("", "root"), ("a/b/c", "abc")])
    for path, expected in {
        "/llm/openai/chat": ("openai", "/chat"),
        "/LLM/OpenAI": ("openai", "/"),
        "/llm/openais": ("llm", "/openais"),
        "/llms": ("root", "/llms"),
        "/a/b": ("root", "/a/b"),
        "/a/b/c/d/e": ("abc", "/d/e"),
        "/": ("root", "/"),
    }.items():
        assert apis.match(path) == expected, path
    assert Apis([("llm", "llm")]).match("/other") is None


@pytest.mark.parametrize(
    "path",
    [
        "/llm/../admin",
        "/llm/./x",
        "/llm/%2e%2e/admin",
        "/llm/%2E./admin",
        "/llm/%252e%252e/admin",
        "/llm/%25252e%25252e/admin",
        "/llm/..%2fadmin",
        "/llm/x%2f..%2fadmin",
        "/llm/x%5c..%5cadmin",
        "/llm/..;a=b/admin",
        "/llm/%2e%2e%3b/admin",
        "/llm/..",
        "/llm/x\\..\\y",
        "/llm/x%00y",
        "/llm/x y",
        "/llm/x#y",
        "/llm/\x7f",
        "/llm/é",
        "llm",
        "*",
        "http://other/llm",
        "/llm/%%34%31",
    ],
)
def test_path_that_could_leave_its_api_has_no_canonical_form(path: str) -> None:
    assert canonical_path(path) is None


def test_harmless_paths_keep_their_encoding() -> None:
    for path in ("/llm/meta%2FLlama", "/llm/a.b/..c/...", "/llm/%2541", "/model/arn:aws:x%2Fy/invoke", "/"):
        assert canonical_path(path) == path
    assert canonical_path("//llm///x//") == "/llm/x/"


def test_an_encoded_letter_is_the_letter() -> None:
    # RFC 3986 section 6.2.2.2: otherwise a caller could choose a wider operation than the backend will take it for.
    assert canonical_path("/%61dmin/%7Ex%2D%5F%2e1/%2F%3B%25%40") == "/admin/~x-_.1/%2F%3B%25%40"
    table = operations("GET /*", "GET /admin/*")
    found = table.match("GET", canonical_path("/%61dmin/keys") or "", "")
    assert found is not None and found[0] == "GET /admin/*"


@given(st.text(alphabet="/.%2eE5fFcC;\\a", max_size=24))
def test_no_canonical_path_ever_decodes_to_a_dot_segment(text: str) -> None:
    from urllib.parse import unquote

    path = canonical_path("/" + text)
    while path is not None:
        segments = path.replace("\\", "/").split("/")
        assert not {segment.partition(";")[0] for segment in segments} & {".", ".."}
        path = unquote(path) if unquote(path) != path else None


def test_removing_a_query_parameter_leaves_the_others_untouched() -> None:
    names = frozenset({"subscription-key"})
    for query, expected in {
        "a=1&subscription-key=x&b=%20&subscription-key=y": "a=1&b=%20",
        "Subscription%2DKey=x": "",
        "subscription-keys=x": "subscription-keys=x",
        "": "",
    }.items():
        assert without_query_parameters(query, names) == expected


def test_every_kind_has_distinct_operations_that_match_themselves() -> None:
    for kind in API_KINDS:
        assert len({operation.id for operation in kind.operations}) == len(kind.operations)
        table = Operations(compile_template(o.id, o.method, o.url_template) for o in kind.operations)
        for operation in kind.operations:
            path, _, query = operation.url_template.replace("{", "").replace("}", "").replace("*", "x").partition("?")
            found = table.match(operation.method, path, query)
            assert found is not None and found[0] == operation.id
