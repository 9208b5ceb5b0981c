"""The table service that the store tests share."""

from collections.abc import Iterator

import pytest

from tests.support.azurite import Azurite


@pytest.fixture(scope="session")
def table_service() -> Iterator[Azurite]:
    """One that a test may freeze, unlike that of all tests, in memory; each test takes a table of its own."""
    with Azurite() as storage:
        yield storage
