"""log-to-eventhub: sends a message to an event hub."""

from typing import Any, ClassVar

from pydantic import Field, SkipValidation, model_validator

from shared.backends.event_hubs import EventHubs, Partition
from shared.config.models import Logger
from shared.context import Context
from shared.message import GatewayResponse
from shared.policies.compiler import Compiler
from shared.policies.expression import Expression
from shared.policies.nodes import Element
from shared.policies.policy import Policy


class LogToEventhub(Policy):
    """The message is evaluated now and sent later: batched, in the background, with the gateway's identity. `logger-id`
    is one of the `loggers` in gateway.yaml. Over 200 KB it is cut; what cannot be sent is counted and logged.

    https://learn.microsoft.com/azure/api-management/log-to-eventhub-policy
    """

    element: ClassVar[str] = "log-to-eventhub"

    logger_id: str
    partition_id: str | None = None
    partition_key: Expression[str] | None = None
    message: Expression[str] = Field(alias="(message)")
    logger: SkipValidation[Logger | None] = Field(alias="(logger)", repr=False)

    @model_validator(mode="after")
    def _one_partition(self) -> "LogToEventhub":
        if self.partition_id is not None and self.partition_key is not None:
            raise ValueError("partition-id and partition-key exclude each other")
        return self

    @classmethod
    def content(cls, element: Element, compiler: Compiler) -> dict[str, Any]:
        """The message, and the logger the id names."""
        compiler.children(element)
        id = compiler.known(element, "logger-id")
        logger = compiler.gateway.loggers.get(id) if id is not None else None
        if id is not None and logger is None:
            compiler.problem(element, f"no logger {id} in gateway.yaml", attribute="logger-id")
        return {"message": compiler.value(element), "logger": logger}

    async def __call__(self, ctx: Context) -> GatewayResponse | None:
        """Queue the message."""
        assert self.logger is not None
        key = await self.partition_key(ctx) if self.partition_key is not None else None
        message = await self.message(ctx)
        ctx.services.get(EventHubs).send(self.logger, message, Partition(self.partition_id, key))
        return None
