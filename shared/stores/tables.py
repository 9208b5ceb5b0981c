"""Tables of entities in Azure Table Storage, Azurite or Cosmos DB for Table, over the official SDK."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from shared.stores.clock import StorageClock
from shared.stores.protocols import (
    Conflict,
    Entity,
    Operation,
    Page,
    StorageBusy,
    StorageRefused,
    StorageUnavailable,
    Stored,
    Value,
)

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.core.exceptions import HttpResponseError
    from azure.data.tables.aio import TableClient, TableServiceClient

T = TypeVar("T")

CONNECTING_DEADLINE = 3.0
"""Seconds at least for an account's first answer: name resolution, TLS and a managed-identity token come on top."""


class Tables:
    """One storage account. Nothing is imported or connected before the first operation of one of its tables.

    The SDK repeats a request on its own by default; here it never does: a repeated compare-and-swap whose first
    attempt was applied reports a conflict with itself. Callers decide what is worth another attempt.
    """

    def __init__(
        self,
        connection_string: str | None = None,
        *,
        endpoint: str | None = None,
        credential: "AsyncTokenCredential | None" = None,
        clock: StorageClock | None = None,
    ) -> None:
        """Take a connection string, or the table endpoint with a token credential (which stays the caller's).

        ``clock`` learns the service's time from every answer.
        """
        if (connection_string is None) == (endpoint is None or credential is None):
            raise ValueError("give either a connection string, or an endpoint and a credential")
        self._connection_string = connection_string
        self._endpoint = endpoint
        self._credential = None if credential is None else SharedToken(credential)
        self._clock = clock
        self._service: TableServiceClient | None = None
        self.connected = False

    def table(self, name: str, *, deadline: float = 10.0) -> "TableEntities":
        """Return a table; it is created on first use when missing. ``deadline``: seconds one operation may take."""
        return TableEntities(self, name, deadline)

    def client(self, name: str) -> "TableClient":
        """Return the SDK's client of a table, on connections shared by all tables of the account."""
        if self._service is None:
            self._service = self._connect()
        return self._service.get_table_client(name)

    async def close(self) -> None:
        """Close the connections; a later operation opens new ones."""
        service, self._service = self._service, None
        if service is not None:
            await service.close()

    def _connect(self) -> "TableServiceClient":
        from azure.data.tables.aio import TableServiceClient

        options: dict[str, Any] = {"retry_total": 0, "logging_enable": False}
        if self._clock is not None:
            options |= {"raw_request_hook": self._stamp, "raw_response_hook": self._observe}
        if self._connection_string is not None:
            return TableServiceClient.from_connection_string(self._connection_string, **options)
        return TableServiceClient(self._endpoint or "", credential=self._credential, **options)

    def _stamp(self, request: Any) -> None:
        if self._clock is not None:
            request.context["sent"] = self._clock.local()

    def _observe(self, response: Any) -> None:
        if self._clock is not None:
            date, sent = response.http_response.headers.get("Date"), response.context["sent"]
            self._clock.observe(date, sent, self._clock.local())


class TableEntities:
    """One table of an account, as ``protocols.Entities`` describes it."""

    def __init__(self, account: Tables, name: str, deadline: float) -> None:
        self._account = account
        self._name = name
        self._deadline = deadline
        self._client: TableClient | None = None

    async def read(self, partition: str, row: str) -> Stored | None:
        return await self._run(lambda: self._read(partition, row))

    async def insert(self, entity: Entity) -> str:
        return await self._run(lambda: self._insert(entity))

    async def replace(self, entity: Entity, if_match: str) -> str:
        return await self._run(lambda: self._replace(entity, if_match))

    async def upsert(self, entity: Entity) -> str:
        return await self._run(lambda: self._upsert(entity))

    async def delete(self, partition: str, row: str, if_match: str | None = None) -> None:
        await self._run(lambda: self._delete(partition, row, if_match))

    async def query(
        self,
        partition: str | None = None,
        *,
        row_from: str | None = None,
        row_before: str | None = None,
        select: Sequence[str] | None = None,
        page_size: int = 1000,
        continuation: str | None = None,
    ) -> Page:
        wanted = None if select is None else ["PartitionKey", "RowKey", "Timestamp", *select]
        conditions = _filter(partition, row_from, row_before)
        return await self._run(lambda: self._query(conditions, wanted, page_size, continuation))

    async def transact(self, operations: Sequence[Operation]) -> None:
        await self._run(lambda: self._transact(operations))

    async def close(self) -> None:
        """Forget the client; the connections belong to the account."""
        self._client = None

    @property
    def _table(self) -> "TableClient":
        if self._client is None:
            self._client = self._account.client(self._name)
        return self._client

    async def _read(self, partition: str, row: str) -> Stored | None:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            return _stored(await self._table.get_entity(partition, row))
        except ResourceNotFoundError as error:
            if _code(error) == "TableNotFound":
                raise
            return None

    async def _insert(self, entity: Entity) -> str:
        return _etag(await self._table.create_entity(_outgoing(entity)))

    async def _replace(self, entity: Entity, if_match: str) -> str:
        from azure.data.tables import UpdateMode

        condition = _condition(if_match)
        return _etag(await self._table.update_entity(_outgoing(entity), mode=UpdateMode.REPLACE, **condition))

    async def _upsert(self, entity: Entity) -> str:
        from azure.data.tables import UpdateMode

        return _etag(await self._table.upsert_entity(_outgoing(entity), mode=UpdateMode.REPLACE))

    async def _delete(self, partition: str, row: str, if_match: str | None) -> None:
        await self._table.delete_entity({"PartitionKey": partition, "RowKey": row}, **_condition(if_match))

    async def _query(self, conditions: str, select: list[str] | None, page_size: int, continuation: str | None) -> Page:
        token = json.loads(continuation) if continuation else None
        found = self._table.query_entities(conditions, results_per_page=page_size, select=select)
        # The SDK's type says str, its implementation hands out and takes a mapping of the two keys.
        pages: Any = found.by_page(continuation_token=token)
        async for page in pages:
            rows = [_stored(entity) async for entity in page]
            following = pages.continuation_token
            return Page(rows, json.dumps(following) if following else None)
        return Page([], None)

    async def _transact(self, operations: Sequence[Operation]) -> None:
        await self._table.submit_transaction([_batched(operation) for operation in operations])

    async def _run(self, operation: Callable[[], Awaitable[T]]) -> T:
        from azure.core.exceptions import AzureError, HttpResponseError

        try:
            try:
                return await self._within_deadline(operation)
            except HttpResponseError as error:
                if _code(error) != "TableNotFound":
                    raise
                await self._create()
                return await self._within_deadline(operation)
        except HttpResponseError as error:
            raise _translated(error) from error
        except (AzureError, OSError, TimeoutError) as error:
            raise StorageUnavailable(type(error).__name__) from error

    async def _within_deadline(self, operation: Callable[[], Awaitable[T]]) -> T:
        from azure.core.exceptions import HttpResponseError

        deadline = self._deadline if self._account.connected else max(self._deadline, CONNECTING_DEADLINE)
        try:
            async with asyncio.timeout(deadline):
                result = await operation()
        except HttpResponseError:
            self._account.connected = True
            raise
        self._account.connected = True
        return result

    async def _create(self) -> None:
        from azure.core.exceptions import ResourceExistsError

        try:
            async with asyncio.timeout(CONNECTING_DEADLINE):
                await self._table.create_table()
        except ResourceExistsError:
            return


class SharedToken:
    """A token credential whose fetch goes on when the caller that started it runs out of time.

    Without it a 250 ms deadline would cancel every fetch of a managed-identity token and no fetch would ever end.
    """

    def __init__(self, credential: "AsyncTokenCredential") -> None:
        self._credential = credential
        self._fetches: dict[tuple[Any, ...], asyncio.Task[Any]] = {}

    async def get_token(self, *scopes: str, **options: Any) -> Any:
        key = (scopes, *sorted(options.items()))
        fetch = self._fetches.get(key)
        if fetch is None:
            fetch = asyncio.ensure_future(self._credential.get_token(*scopes, **options))
            self._fetches[key] = fetch
            fetch.add_done_callback(lambda _: self._fetches.pop(key))
        return await asyncio.shield(fetch)

    async def close(self) -> None:
        """The credential is not ours to close."""

    async def __aenter__(self) -> "SharedToken":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _outgoing(entity: Entity) -> dict[str, Any]:
    """Send every integer as Int64: the SDK's default of Int32 refuses a counter beyond 2^31."""
    return {name: _outgoing_value(value) for name, value in entity.items()}


def _outgoing_value(value: Value) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, "Edm.Int64")
    return value


def _stored(entity: Any) -> Stored:
    properties = {name: value.value if _typed(value) else value for name, value in entity.items()}
    modified = entity.metadata["timestamp"]
    return Stored(properties, entity.metadata["etag"], modified or datetime.fromtimestamp(0, UTC))


def _typed(value: Any) -> bool:
    return isinstance(value, tuple)


def _etag(metadata: Mapping[str, Any]) -> str:
    etag: str = metadata["etag"]
    return etag


def _condition(if_match: str | None) -> dict[str, Any]:
    from azure.core import MatchConditions

    if if_match is None:
        return {}
    return {"etag": if_match, "match_condition": MatchConditions.IfNotModified}


def _batched(operation: Operation) -> tuple[str, dict[str, Any], dict[str, Any]]:
    options = _condition(operation.if_match)
    entity = _outgoing(operation.entity)
    match operation.kind:
        case "insert":
            return "create", entity, {}
        case "replace":
            return "update", entity, {"mode": "replace", **options}
        case "upsert":
            return "upsert", entity, {"mode": "replace"}
        case "delete":
            return "delete", entity, options


def _filter(partition: str | None, row_from: str | None, row_before: str | None) -> str:
    bounds = (("PartitionKey", "eq", partition), ("RowKey", "ge", row_from), ("RowKey", "lt", row_before))
    return " and ".join(
        f"{name} {comparison} '{value.replace(chr(39), chr(39) * 2)}'"
        for name, comparison, value in bounds
        if value is not None
    )


def _code(error: "HttpResponseError") -> str:
    """The service's own error code; the SDK decodes it for every operation but the insert."""
    code = getattr(error, "error_code", None)
    if code is not None:
        return str(getattr(code, "value", code))
    response: Any = error.response
    if response is None:
        return ""
    header = response.headers.get("x-ms-error-code")
    if header:
        return str(header)
    try:
        return str(json.loads(response.text())["odata.error"]["code"])
    except (ValueError, KeyError, TypeError):
        return ""


def _translated(error: "HttpResponseError") -> Exception:
    # Only status and the service's own code go into the text: a message may repeat headers of the request.
    what = f"{error.status_code} {_code(error)}".strip()
    match error.status_code:
        case 404 | 409 | 412:
            return Conflict(what)
        case 429 | 503:
            return StorageBusy(what)
        case 500 if _code(error) == "OperationTimedOut":
            return StorageBusy(what)
        case 500 | 502 | 504 | 408 | None:
            return StorageUnavailable(what)
        case _:
            return StorageRefused(what)
