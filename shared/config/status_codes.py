"""Finds what is declared for a status code: by itself, by its range, by default."""

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def by_status(declared: Mapping[str, T], status: int) -> T | None:
    """The entry of 200, 2XX or default that a status code falls under, the most exact one; None when there is none.
    https://spec.openapis.org/oas/v3.1.1.html#responses-object"""
    keys = (str(status), f"{status // 100}XX", "default")
    return next((declared[key] for key in keys if key in declared), None)
