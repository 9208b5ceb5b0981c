"""Names, members, calls and indexers: ``context.Request?.Headers["x"].First()`` as one chain.

C# ends a whole chain with null when ``?.`` meets null, so a chain is compiled from its first part on.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

from shared.expressions.calls import call_delegate, call_member, call_static, get_property, indexed
from shared.expressions.code import RUN, Code, Frame, constant
from shared.expressions.inline import Inline, inline
from shared.expressions.nettypes import Member, NetType, TypeRef

if TYPE_CHECKING:
    from tree_sitter import Node

    from shared.expressions.compiler import Compiler

# What every context, message and URL has.
_ALWAYS_THERE = frozenset(("IRequest", "Variables", "IUrl", "Headers", "Query", "TextMap"))
_NAMESPACES = frozenset(("System", "Newtonsoft", "Microsoft", "global"))


class Link(NamedTuple):
    """One step of a chain: a member, a call or an index; ``conditional`` after a question mark."""

    kind: str
    node: "Node"
    conditional: bool = False


def flatten(c: "Compiler", node: "Node") -> "tuple[Node, list[Link]]":
    """The first part and the links after it."""
    links: list[Link] = []
    current = node
    while True:
        match current.type:
            case "member_access_expression":
                links.append(Link("member", current.child_by_field_name("name") or current.children[-1]))
                current = current.child_by_field_name("expression") or current.children[0]
            case "invocation_expression":
                links.append(Link("call", current.child_by_field_name("arguments") or current.children[-1]))
                current = current.child_by_field_name("function") or current.children[0]
            case "element_access_expression":
                links.append(Link("index", current.child_by_field_name("subscript") or current.children[-1]))
                current = current.child_by_field_name("expression") or current.children[0]
            case "postfix_unary_expression" if current.children[-1].type == "!":
                if current.children[-1].start_byte in c.conditional and links:
                    links[-1] = links[-1]._replace(conditional=True)
                current = current.children[0]
            case _:
                return current, links[::-1]


def _chain(c: "Compiler", node: "Node") -> Code:
    base, links = flatten(c, node)
    if base is node and node.type not in ("identifier", "generic_name", "predefined_type"):
        return c.fail(node, f"'{c.text(node)}' is not supported here")
    return follow(c, *_start(c, base, links))


def _start(c: "Compiler", base: "Node", links: list[Link]) -> "tuple[Code | TypeRef, Node, list[Link]]":
    """What a chain starts with: a type (namespaces before it are passed over), a local call or a value."""
    if base.type == "generic_name" or base.type == "predefined_type":
        if links and links[0].kind == "call":
            return _local_call(c, base, links)
        reference = c.type_reference(base)
        return reference if reference is not None else c.fail(base, "a type is needed here"), base, links
    if base.type != "identifier":
        return c.expression(base), base, links
    name = c.text(base)
    if name == "nameof" and links and links[0].kind == "call":
        return _nameof(c, links[0].node), base, links[1:]
    if c.scope.find(name) is not None or name in ("context", "_"):
        return _variable(c, base), base, links
    place = 0
    if name in _NAMESPACES:
        while place < len(links) and links[place].kind == "member" and not _names_type(c, links[place].node):
            place += 1
        if place < len(links) and links[place].kind == "member":
            reference = c.type_reference(links[place].node)
            if reference is not None:
                return reference, links[place].node, links[place + 1 :]
    elif c.catalog.find(name) is not None and links:
        return TypeRef(c.catalog.known(name)), base, links
    if links and links[0].kind == "call":
        return _unknown_name(c, base, name), base, links[1:]
    return _unknown_name(c, base, name), base, links


def _names_type(c: "Compiler", node: "Node") -> bool:
    name = c.text(node.named_children[0] if node.type == "generic_name" else node)
    return c.catalog.find(name) is not None


def _unknown_name(c: "Compiler", node: "Node", name: str) -> Code:
    near = c.near(name, [*c.scope.visible(), "context", *c.catalog.type_names()])
    return c.fail(node, f"the name '{name}' does not exist here{near}")


def _local_call(c: "Compiler", base: "Node", links: list[Link]) -> "tuple[Code | TypeRef, Node, list[Link]]":
    name = c.text(base.named_children[0] if base.named_children else base)
    variable = c.scope.find(name)
    if variable is None:
        return _unknown_name(c, base, name), base, links[1:]
    return Code(c.read(variable), variable.type), base, links


def _nameof(c: "Compiler", arguments: "Node") -> Code:
    return constant(c.text(arguments).strip("() ").rpartition(".")[2], c.catalog.known("string"))


def _variable(c: "Compiler", node: "Node") -> Code:
    name = c.text(node)
    variable = c.scope.find(name)
    if variable is not None:
        return Code(c.read(variable), variable.type)
    if name == "context":
        return Code(Inline(f"frame[{RUN}].ctx", {}), c.catalog.known("IProxyRequestContext"), never_null=True)
    if c.catalog.find(name) is not None:
        return c.fail(node, f"the type '{name}' is not a value")
    return _unknown_name(c, node, name)


def follow(c: "Compiler", start: "Code | TypeRef", node: "Node", links: list[Link]) -> Code:
    """Compile the links after a start, up to the first ``?.``; the rest runs only when its value is not null."""
    at = 0
    if isinstance(start, TypeRef):
        code, at = _static(c, start, node, links)
    else:
        code = start
    while at < len(links):
        if links[at].conditional:
            return _conditional(c, code, links[at:])
        code, at = _link(c, code, links, at)
    return code


def _conditional(c: "Compiler", code: Code, links: list[Link]) -> Code:
    slot = c.scope.environment.slot()
    value = Code(Inline(f"frame[{slot}]", {}), code.type, never_null=True)
    rest = follow(c, value, links[0].node, [links[0]._replace(conditional=False), *links[1:]])
    template = f"(None if {{keep}}(frame, {slot}, {{value}}) is None else {{rest}})"
    run = inline(template, keep=_keep, value=code.inline, rest=rest.inline)
    kind = rest.type
    return Code(run, c.catalog.known("Nullable") if kind is not None and kind.is_value else kind)


def _keep(frame: Frame, slot: int, value: Any) -> Any:
    frame[slot] = value
    return value


def _member_name(c: "Compiler", node: "Node") -> tuple[str, tuple[TypeRef, ...]]:
    if node.type == "generic_name":
        return c.text(node.named_children[0]), c.type_arguments(node.named_children[1])
    return c.text(node), ()


def _static(c: "Compiler", reference: TypeRef, node: "Node", links: list[Link]) -> tuple[Code, int]:
    """A static member of a type: property, constant, enumeration value or method."""
    net = reference.net
    if not links or links[0].kind != "member":
        return c.fail(node, f"the type '{net.name}' is not a value"), len(links)
    name, types = _member_name(c, links[0].node)
    member = net.find_static(name)
    if member is None:
        near = c.near(name, net.names(static=True))
        return c.fail(links[0].node, f"'{net.name}' has no static member '{name}'{near}"), _after_call(links, 0)
    if not member.is_method:
        function = member.function
        evaluate = inline(f"{{function}}({f'frame[{RUN}]' if member.takes_run else ''})", function=function)
        return Code(evaluate, c.static_net(c.catalog.find(member.result or ""))), 1
    called = len(links) > 1 and links[1].kind == "call"
    if not called:
        return Code(call_static(c, member, None, types)), 1
    run = call_static(c, member, links[1].node, types or reference.arguments)
    return Code(run, _result(c, member, types)), 2


def _after_call(links: list[Link], at: int) -> int:
    return at + 2 if at + 1 < len(links) and links[at + 1].kind == "call" else at + 1


def _result(c: "Compiler", member: Member, types: tuple[TypeRef, ...]) -> NetType | None:
    if member.result is None:
        return c.static_type(types[0]) if member.takes_types and len(types) == 1 else None
    return c.static_net(c.catalog.find(member.result))


def _link(c: "Compiler", code: Code, links: list[Link], at: int) -> tuple[Code, int]:
    link = links[at]
    if link.kind == "index":
        return indexed(c, code, link.node), at + 1
    if link.kind == "call":
        return call_delegate(c, code, link.node), at + 1
    name, types = _member_name(c, link.node)
    following = links[at + 1] if at + 1 < len(links) else None
    called = following is not None and following.kind == "call" and not following.conditional
    note_mention(c, code, name)
    members = _members(c, code, name, link.node, called)
    if members is None:
        return constant(None, c.catalog.find("dynamic")), _after_call(links, at)
    single = members if isinstance(members, Member) else None
    if called and following is not None and (single is None or single.is_method):
        return Code(
            call_member(c, code, name, members, following.node, types), _common_result(c, code, members, name, types)
        ), at + 2
    made, result = get_property(c, code, name, members), _common_result(c, code, members, name, types)
    return Code(made, result, never_null=result is not None and result.name in _ALWAYS_THERE), at + 1


def note_mention(c: "Compiler", code: Code, name: str) -> None:
    """Remember which message's body an expression speaks of."""
    if name == "Body" and code.type is not None and code.type.name in ("IRequest", "IResponse", "IResponse?"):
        c.mentions.add(code.type.name.rstrip("?"))
    elif name == "Body":
        c.mentions.update(("IRequest", "IResponse"))


def _members(c: "Compiler", code: Code, name: str, node: "Node", called: bool) -> "Member | str | None":
    """The member of a known type, ``"dynamic"`` when the value decides, or none after a problem."""
    net = code.type
    if net is None:
        if name in c.own_names or c.catalog.has_member(name):
            return "dynamic"
        near = c.near(name, [*c.catalog.member_names(), *c.own_names])
        c.fail(node, f"no supported type has a member '{name}'{near}")
        return None
    member = net.find(name, called=called) or (None if net.dynamic else c.catalog.known("object").find(name))
    if member is not None and (member.is_method or not called or member.result is None):
        return member
    if net.dynamic or name in c.own_names:
        return "dynamic"
    if member is not None:
        c.fail(node, f"'{net.name}.{name}' is no method")
        return None
    near = c.near(name, net.names(static=False))
    c.fail(node, f"'{net.name}' has no member '{name}'{near}")
    return None


def _common_result(
    c: "Compiler", code: Code, members: "Member | str", name: str, types: tuple[TypeRef, ...]
) -> NetType | None:
    if isinstance(members, Member):
        return _result(c, members, types)
    if code.type is not None and code.type.name == "dynamic":
        return code.type
    if len(types) != 1:
        return None
    found = {_result(c, member, types) for member in c.catalog.generic_methods(name)}
    return found.pop() if len(found) == 1 else None


EXPRESSIONS = {
    "identifier": _variable,
    "discard": _variable,
    "member_access_expression": _chain,
    "invocation_expression": _chain,
    "element_access_expression": _chain,
    "generic_name": _chain,
    "predefined_type": _chain,
}
