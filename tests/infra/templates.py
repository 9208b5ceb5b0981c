"""The templates of infra/ as the tests ask about them."""

from functools import cache
from pathlib import Path

from tests.infra.bicep import read
from tests.infra.tree import Call, Declaration, Expression, Member, Name, Object, Operation, Template, Text

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
MAIN = INFRA / "main.bicep"


@cache
def templates() -> tuple[Template, ...]:
    """Every template, main.bicep first."""
    return tuple(read(path) for path in (MAIN, *sorted(INFRA.rglob("app/*.bicep"))))


def template(name: str) -> Template:
    """One of infra/app."""
    return read(INFRA / "app" / f"{name}.bicep")


def module_template(caller: Template, module: Declaration) -> Template:
    """The template a module is made from."""
    return read((caller.path.parent / module.type).resolve())


def made(type: str) -> list[tuple[Template, Declaration]]:
    """Every resource of a type that the templates make."""
    return [
        (template, resource)
        for template in templates()
        for resource in template.of("resource").values()
        if resource.type.partition("@")[0] == type and not resource.existing
    ]


def only(type: str) -> Object:
    """The body of the one resource of a type."""
    [(_, resource)] = made(type)
    return resource.body


def plain(value: Expression | None) -> object:
    """What a literal, a text without expressions or a name says; None for anything else."""
    match value:
        case Text():
            return value.plain
        case Name(id):
            return id
        case None:
            return None
        case _:
            return getattr(value, "value", None)


def settings_of(template: Template, value: Expression | None) -> dict[str, tuple[Expression, bool]]:
    """App settings an expression may give, by name: value, and whether it is there only under a condition. Names that
    are worked out from parameters are left out."""
    match value:
        case Object(items):
            return {str(key.plain): (setting, False) for key, setting in items}
        case Name(id) if id in template.of("var"):
            return settings_of(template, template.of("var")[id].value)
        case Call(Name("union"), arguments):
            return {name: found for one in arguments for name, found in settings_of(template, one).items()}
        case Operation("?", (_, then, otherwise)):
            both = settings_of(template, then) | settings_of(template, otherwise)
            return {name: (setting, True) for name, (setting, _) in both.items()}
        case Name() | Call(Name("toObject")):
            return {}
    raise AssertionError(f"{template.path.name}: {value} gives no app settings")


def root_of(value: Expression) -> str | None:
    """`a` of `a.b.c`."""
    while isinstance(value, Member):
        value = value.base
    return value.id if isinstance(value, Name) else None
