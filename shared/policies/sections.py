"""The four sections of a policy document, ready to run."""

from dataclasses import dataclass

from shared.policies.run import Statements


@dataclass(frozen=True, slots=True)
class Sections:
    """Statements by section, with every outer scope already in its place."""

    inbound: Statements = ()
    backend: Statements = ()
    outbound: Statements = ()
    on_error: Statements = ()
