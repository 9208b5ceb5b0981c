"""How status codes are declared, and what is declared for one: by itself, by its range, by default."""

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def status_key(status: object) -> str:
    """A declared status in one spelling, as YAML (a number) and different authors write it: 200, 2XX or default."""
    return "default" if str(status).lower() == "default" else str(status).upper()


def by_status(declared: Mapping[str, T], status: int) -> T | None:
    """The entry of 200, 2XX or default that a status code falls under, the most exact one; None when there is none.
    https://spec.openapis.org/oas/v3.1.1.html#responses-object"""
    keys = (str(status), f"{status // 100}XX", "default")
    return next((declared[key] for key in keys if key in declared), None)
