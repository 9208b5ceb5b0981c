"""Whether control reaches the end of a statement: C#'s "not all code paths return a value"."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

    from shared.expressions.compiler import Compiler


def can_end(c: "Compiler", node: "Node") -> bool:
    """Whether control can reach the end of a statement (C#'s rule for "not all code paths return a value")."""
    match node.type:
        case "return_statement" | "throw_statement" | "break_statement" | "continue_statement":
            return False
        case "block":
            return all(can_end(c, one) for one in node.named_children)
        case "if_statement":
            no, yes = node.child_by_field_name("alternative"), node.child_by_field_name("consequence")
            return no is None or can_end(c, no) or (yes is not None and can_end(c, yes))
        case "while_statement" | "for_statement" | "do_statement":
            return not _endless(c, node)
        case "switch_statement":
            return _switch_can_end(c, node)
        case "using_statement" | "lock_statement":
            body = node.child_by_field_name("body")
            return body is None or can_end(c, body)
        case "checked_statement":
            return can_end(c, node.named_children[-1])
        case "try_statement":
            return _try_can_end(c, node)
    return True


def _endless(c: "Compiler", node: "Node") -> bool:
    test = node.child_by_field_name("condition")
    always = c.text(test) == "true" if test is not None else node.type == "for_statement"
    body = node.child_by_field_name("body")
    return always and not (body is not None and _breaks(body))


def _breaks(node: "Node") -> bool:
    if node.type == "break_statement":
        return True
    inner = (
        "while_statement",
        "for_statement",
        "foreach_statement",
        "do_statement",
        "switch_statement",
        "lambda_expression",
    )
    return any(_breaks(one) for one in node.named_children if one.type not in inner)


def _switch_can_end(c: "Compiler", node: "Node") -> bool:
    body = node.child_by_field_name("body")
    sections = [one for one in body.named_children if one.type == "switch_section"] if body else []
    has_default = any(one.type == "default" for section in sections for one in section.children)
    if not has_default:
        return True
    for section in sections:
        statements = [one for one in section.named_children if one.type.endswith("_statement") or one.type == "block"]
        if any(_breaks(one) for one in statements):
            return True
    return False


def _try_can_end(c: "Compiler", node: "Node") -> bool:
    body = node.child_by_field_name("body")
    final = next((one for one in node.named_children if one.type == "finally_clause"), None)
    if final is not None and not can_end(c, final.named_children[-1]):
        return False
    catches = [one.child_by_field_name("body") for one in node.named_children if one.type == "catch_clause"]
    return (body is None or can_end(c, body)) or any(one is not None and can_end(c, one) for one in catches)
