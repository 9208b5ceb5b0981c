"""include-fragment and base: what stands in their place."""

from tests.support.backend import Backend
from tests.support.policies import document, policies, problems

INCLUDE = '<include-fragment fragment-id="shared" />'


def mark(value: str, name: str = "x-trail") -> str:
    return f'<set-header name="{name}" exists-action="append"><value>{value}</value></set-header>'


def fragment(inner: str) -> dict[str, object]:
    """A fragment `shared` with this content, as configuration and file."""
    return {"config": "fragments: {shared: shared.xml}\n", "files": {"shared.xml": f"<fragment>\n{inner}\n</fragment>"}}


def test_a_fragment_runs_where_it_is_included_as_often_as_it_is(backend: Backend) -> None:
    inbound = f'{mark("1")}{INCLUDE}<choose><when condition="true">{INCLUDE}</when></choose>{mark("3")}'
    with policies(document(inbound), backend.url, **fragment(mark("2"))) as gateway:
        gateway.call()
    assert backend.last.header("x-trail") == "1, 2, 2, 3"


def test_base_is_the_place_of_each_outer_scope(backend: Backend) -> None:
    config = """
    policy: global.xml
    products:
      open: {apis: [chat], subscription_required: false, policy: product.xml}
    """
    files = {
        "global.xml": document(mark("global"), "<forward-request />", mark("global")),
        "product.xml": document(f"{mark('product')}<base />", "<base />", f"<base />{mark('product')}"),
        "api.xml": document(f"<base />{mark('api')}<base />", "<base />", "<base />"),
    }
    operation = document(f"{mark('before')}<base />{mark('after')}", "<base />", f"<base />{mark('operation')}")
    api = {"policy": "api.xml"}
    with policies(operation, backend.url, config=config, files=files, api=api) as gateway:
        answer = gateway.call()
    assert backend.last.header("x-trail") == "before, product, global, api, product, global, after"
    assert answer.headers.get_list("x-trail") == ["global", "product", "operation"]


def test_without_base_the_outer_scopes_are_skipped(backend: Backend) -> None:
    files = {"global.xml": document(mark("global"), "<forward-request />", mark("global"))}
    config = "policy: global.xml\n"
    with policies(document(mark("own"), "<base />", ""), backend.url, config=config, files=files) as gateway:
        answer = gateway.call()
        assert backend.last.header("x-trail") == "own"
        assert "x-trail" not in answer.headers
    with policies(document(backend=""), backend.url, config=config, files=files) as gateway:
        assert gateway.call().content == b""
    assert len(backend.requests) == 1


def test_mistakes_in_a_fragment_are_told_where_they_are() -> None:
    wrong = "<set-heade />\n<base />\n" + INCLUDE + "\n<forward-request />"
    assert problems(document(INCLUDE), **fragment(wrong)) == [
        "shared.xml:2 set-heade: unknown policy set-heade, did you mean set-header?",
        "shared.xml:3 base: base cannot stand in a fragment",
        "shared.xml:4 include-fragment: fragment shared cannot include another fragment",
        "shared.xml:5 forward-request: forward-request is not allowed in inbound (only in backend)",
    ]


def test_the_section_it_is_included_in_decides_what_a_fragment_may_hold() -> None:
    assert problems(document(backend=INCLUDE), **fragment("<forward-request />")) == []
    (problem,) = problems(document("", INCLUDE, INCLUDE), **fragment("<forward-request />"))
    assert problem.startswith("shared.xml:2 forward-request: forward-request is not allowed in outbound")


def test_a_fragment_must_be_there_and_be_one() -> None:
    other = INCLUDE.replace("shared", "shard")
    assert problems(document(other), **fragment("")) == [
        "operation.xml:1 inbound/include-fragment: no fragment shard, did you mean shared?"
    ]
    (problem,) = problems(
        document(INCLUDE), config="fragments: {shared: shared.xml}\n", files={"shared.xml": document()}
    )
    assert problem == "shared.xml:1 policies: the root element must be fragment, not policies"
    unreadable = problems(document(INCLUDE), config="fragments: {shared: shared.xml}\n")
    assert any(problem.endswith("shared.xml cannot be read: No such file or directory") for problem in unreadable)
    assert problems(document("<include-fragment />"), **fragment(""))[0].endswith("fragment-id is required")
