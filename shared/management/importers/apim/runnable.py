"""Finds what of a plan runs here: the configuration is put together and checked, and what fails is left out."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML

from shared.errors import Problem
from shared.management.check import check
from shared.management.importers.apim.part import Part
from shared.management.importers.importer import Entry, ImportFailed, LeftOut

GLOBAL = "policy"


async def runnable(parts: Sequence[Part]) -> tuple[list[Part], list[LeftOut]]:
    """The parts that load together, and those that do not, each with the first thing wrong with it.

    A part is left out whole: an API without one of its policies would let through what that policy keeps out.
    ImportFailed when the global policy does not load, since everything depends on it.
    """
    kept, left_out = list(parts), list[LeftOut]()
    while bad := _owners(kept, await _problems(kept)):
        for part, problem in bad.items():
            if kept[part].entries[0].section == GLOBAL:
                raise ImportFailed(f"the global policy cannot run here: {problem}")
            left_out.append(LeftOut(kept[part].what, str(problem)))
        kept = [part for index, part in enumerate(kept) if index not in bad]
        kept = _without_links(kept)
    return kept, left_out


async def _problems(parts: Sequence[Part]) -> list[Problem]:
    with tempfile.TemporaryDirectory(prefix="import-") as name:
        folder = Path(name)
        for part in parts:
            for file, text in part.documents.items():
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8", newline="")
        config = folder / "gateway.yaml"
        with config.open("w", encoding="utf-8") as file_:
            YAML(typ="safe", pure=True).dump(_tree(parts), file_)
        found = await check(config, {}, placeholders=True)
    return [problem for problem in found if problem.severity == "error"]


def _tree(parts: Sequence[Part]) -> dict[str, object]:
    tree: dict[str, object] = {}
    for entry in (entry for part in parts for entry in part.entries):
        if not entry.id:
            tree[entry.section] = entry.value
        else:
            section = tree.setdefault(entry.section, {})
            assert isinstance(section, dict)
            section[entry.id] = entry.value
    return tree


def _owners(parts: Sequence[Part], problems: Sequence[Problem]) -> dict[int, Problem]:
    """The parts with problems by index, each with its first one. ImportFailed for a problem that is nobody's."""
    found: dict[int, Problem] = {}
    for problem in problems:
        fits = {index: length for index, part in enumerate(parts) if (length := _fit(problem, part))}
        if not fits:
            raise ImportFailed(f"what would be imported is not valid: {problem}")
        found.setdefault(max(fits, key=fits.__getitem__), problem)
    return found


def _fit(problem: Problem, part: Part) -> int:
    """How many characters of the problem's place are the part's; ids may have dots, so the most is the right one."""
    if problem.file in part.documents:
        return len(problem.file)
    places = (f"{entry.section}.{entry.id}".rstrip(".") for entry in part.entries)
    return max((len(place) for place in places if f"{problem.path}.".startswith(f"{place}.")), default=0)


def _without_links(parts: Sequence[Part]) -> list[Part]:
    """The parts with APIs in no product that is not among them."""
    products = {entry.id for part in parts for entry in part.entries if entry.section == "products"}
    return [_kept_in(part, products) for part in parts]


def _kept_in(part: Part, products: set[str]) -> Part:
    own = part.entries[0]
    if own.section != "apis" or "products" not in own.value:
        return part
    value = {**own.value, "products": [product for product in own.value["products"] if product in products]}
    return Part(part.what, (Entry(own.section, own.id, value), *part.entries[1:]), part.documents, part.settings)
