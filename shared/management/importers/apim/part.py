"""What one resource of API Management becomes here."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.management.importers.importer import Entry, Setting


@dataclass(frozen=True, slots=True)
class Part:
    """Entries and documents that stand or fall together, with the settings they need. `what` names the resource for a
    person; the first entry is the resource's own."""

    what: str
    entries: tuple[Entry, ...]
    documents: Mapping[str, str] = field(default_factory=dict)
    settings: tuple[Setting, ...] = ()
