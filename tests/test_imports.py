"""Imports point left: a file imports from its own room and from rooms to its left."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = (
    "errors settings body message config llm stores telemetry context expressions backends policies gateway management "
    "console app __main__ function_app"
).split()

# Rooms that do no I/O and read no clock: they may not import what does.
PURE = (
    "config/models",
    "config/declared",
    "config/backends",
    "config/openapi",
    "backends/pool.py",
    "backends/circuit_breaker",
    "backends/load_signals",
    "llm/",
    "expressions/",
    "gateway/match",
    "policies/document",
    "policies/extent",
)
ALLOWED = {"expressions/run.py imports time"}  # the time bound of an evaluation
OUTSIDE = {
    "asyncio",
    "socket",
    "httpx",
    "aiohttp",
    "azure",
    "openai",
    "os",
    "pathlib",
    "subprocess",
    "threading",
    "time",
}


def shared_files() -> Iterator[tuple[Path, ast.Module]]:
    for file in (*sorted((ROOT / "shared").rglob("*.py")), ROOT / "function_app.py"):
        yield file, ast.parse(file.read_text(encoding="utf-8"))


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def room_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "shared" and len(parts) > 1 else parts[0]


def test_imports_point_left() -> None:
    wrong = []
    for file, tree in shared_files():
        if file.name == "__init__.py" and file.parent.name == "shared":
            continue
        for module in imports(tree):
            if module.startswith("shared."):
                target = module.split(".")[1]
                if ROOMS.index(target) > ROOMS.index(room_of(file)):
                    wrong.append(f"{file.relative_to(ROOT)} imports {module}")
    assert wrong == []


def test_pure_rooms_touch_nothing_outside() -> None:
    wrong = []
    for file, tree in shared_files():
        name = file.relative_to(ROOT).as_posix().removeprefix("shared/")
        if name.startswith(PURE):
            wrong += [f"{name} imports {module}" for module in imports(tree) if module.split(".")[0] in OUTSIDE]
    assert set(wrong) <= ALLOWED


def test_every_file_opens_with_a_sentence() -> None:
    silent = [str(file) for file, tree in shared_files() if tree.body and not ast.get_docstring(tree)]
    assert silent == []


def test_only_the_entry_knows_azure_functions() -> None:
    users = {
        file.name for file, tree in shared_files() for module in imports(tree) if module.startswith("azure.functions")
    }
    assert users == {"function_app.py"}
