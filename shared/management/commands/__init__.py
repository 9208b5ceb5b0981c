"""The commands of `python -m shared`, one file each. A command has `add_arguments(subparsers)` and sets `run`."""

from types import ModuleType

from shared.management.commands import subscriptions

COMMANDS: tuple[ModuleType, ...] = (subscriptions,)
