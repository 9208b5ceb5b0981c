"""Pytest hooks and fixtures shared by every test: async tests run on a fresh event loop each."""

import asyncio
import inspect
from collections.abc import Iterator

import pytest

from tests.support.azurite import Azurite
from tests.support.backend import Backend


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an ``async def`` test to its end on its own loop; leave plain tests to pytest."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(pyfuncitem.obj(**arguments))
    return True


@pytest.fixture
def backend() -> Iterator[Backend]:
    """A scripted LLM backend of the test's own."""
    with Backend() as backend:
        yield backend


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """Table Storage shared by the session: take names from `azurite.table_name()`, and never stop or freeze it."""
    with Azurite() as storage:
        yield storage
