"""The policy documents of a configuration: read and checked at load, joined scope by scope for each operation."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from shared.config.loader import Loaded
from shared.config.models import Operation
from shared.policies import POLICIES, REFUSED
from shared.policies.compiler import Compiler
from shared.policies.document import Element
from shared.policies.forward_request import ForwardRequest
from shared.policies.policy import Scope
from shared.policies.run import Place
from shared.policies.sections import Sections

if TYPE_CHECKING:
    from shared.policies.definition import Definition

# APIM's global document when nobody wrote one: forward, nothing else.
DEFAULT = Sections(
    backend=(
        ForwardRequest.model_validate({"(place)": Place("forward-request", "global", "backend", "forward-request")}),
    )
)


class PolicyDocuments:
    """Documents by scope. `sections` gives what runs for an operation, compiled when it is first asked for."""

    def __init__(self, compiler: Compiler, operations: Mapping[str, Sequence[Operation]]) -> None:
        """`operations` are all there are, by API id."""
        self._compiler = compiler
        self._operations = {id: [operation.id for operation in several] for id, several in operations.items()}
        self._roots: dict[tuple[Scope, str], tuple[str, Element]] = {}
        self._ready: dict[tuple[str, str, str], Sections] = {}

    def add(self, scope: Scope, id: str, file: str, root: Element) -> None:
        """Take in the document of a scope: "" for global, product id, API id, or `api/operation`."""
        self._roots[scope, id] = (file, root)

    def sections(self, api: str, operation: str, product: str) -> Sections:
        """The policies of an operation called under a product (empty: none), with every outer scope in place."""
        key = (api, operation, product)
        if key not in self._ready:
            self._compiler.operations = ((api, operation),)
            sections = self._scoped("global", "", DEFAULT)
            if product:
                sections = self._scoped("product", product, sections)
            sections = self._scoped("api", api, sections)
            self._ready[key] = self._scoped("operation", f"{api}/{operation}", sections)
        return self._ready[key]

    def _scoped(self, scope: Scope, id: str, parent: Sections) -> Sections:
        found = self._roots.get((scope, id))
        return parent if found is None else self._compiler.compile(found[1], found[0], scope, parent)

    def check(self) -> None:
        """Compile every document once on its own, so that all problems are known."""
        for (scope, id), (file, root) in self._roots.items():
            self._compiler.operations = self._in_scope(scope, id)
            self._compiler.compile(root, file, scope, Sections())

    def _in_scope(self, scope: Scope, id: str) -> tuple[tuple[str, str], ...]:
        """API and id of the operations a document may run for; all of them for one that many APIs have."""
        match scope:
            case "operation":
                api, _, operation = id.partition("/")
                return ((api, operation),)
            case "api":
                return tuple((id, operation) for operation in self._operations.get(id, ()))
            case _:
                return tuple((api, operation) for api, several in self._operations.items() for operation in several)


def compile_documents(loaded: Loaded, operations: Mapping[str, Sequence[Operation]]) -> PolicyDocuments:
    """Read and check all documents of a configuration; problems are added to `loaded`. `operations` is by API id."""
    gateway = loaded.gateway
    assert gateway is not None
    folder = loaded.file.parent
    texts: dict[str, bytes] = {}

    def read(file: str, location: tuple[str | int, ...]) -> bool:
        try:
            texts[file] = (folder / file).read_bytes()
        except OSError as error:
            loaded.problem(location, f"{file} cannot be read: {error.strerror}")
        return file in texts

    fragments = {id: (file, texts[file]) for id, file in gateway.fragments.items() if read(file, ("fragments", id))}
    compiler = Compiler(
        gateway,
        loaded.named_values,
        {policy.element: policy for policy in POLICIES},
        REFUSED,
        fragments,
        certificates=loaded.certificates,
        schemas=loaded.schemas,
        responses=loaded.responses,
        definitions=_definitions(loaded),
    )
    documents = PolicyDocuments(compiler, operations)
    declared: list[tuple[Scope, str, str | None, tuple[str | int, ...]]] = [("global", "", gateway.policy, ("policy",))]
    declared += [("product", id, p.policy, ("products", id, "policy")) for id, p in gateway.products.items()]
    for id, api in gateway.apis.items():
        declared.append(("api", id, api.policy, ("apis", id, "policy")))
        for index, operation in enumerate(operations.get(id, ())):
            place = ("apis", id, "operations", index, "policy")
            declared.append(("operation", f"{id}/{operation.id}", operation.policy, place))
    for scope, id, file, location in declared:
        if file is not None and read(file, location):
            root = compiler.read(texts[file], file, "policies")
            if root is not None:
                documents.add(scope, id, file, root)
    documents.check()
    loaded.problems.extend(compiler.problems)
    for responses in loaded.responses.values():
        responses.forget()
    for definition in loaded.definitions.values():
        definition.forget()
    return documents


def _definitions(loaded: Loaded) -> "dict[str, Definition]":
    if not loaded.definitions:  # as in most configurations
        return {}
    from shared.policies.definition import Definition

    return {id: Definition(document) for id, document in loaded.definitions.items()}
