"""How an administration command runs: the settings it works with, and the exit status it ends with."""

import asyncio
import logging
import os
import sys
from argparse import ArgumentParser
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared.config.loader import load
from shared.config.models import Gateway
from shared.errors import Refusal
from shared.settings import Settings, SettingsError, from_environment, is_local
from shared.stores.protocols import StorageRefused, StoreError

OK, REFUSED, USAGE, NO_STORAGE = 0, 1, 2, 3
"""Exit statuses: done; refused; wrong arguments, settings or configuration; storage is not set up or fails."""


class CommandFailed(Exception):
    """Ends the command with one line on stderr and an exit status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def settings_with(config: str | None = None) -> Settings:
    """The settings of the environment, with another configuration file where one is given. SettingsError."""
    settings = from_environment(base=Path.cwd(), local=is_local(os.environ))
    return settings if config is None else replace(settings, config=Path(config).resolve())


def add_config_option(parser: ArgumentParser) -> None:
    """Add `--config` to the parser of a command that reads the configuration."""
    parser.add_argument("--config", metavar="FILE", help="configuration file (default: GATEWAY_CONFIG or gateway.yaml)")


async def declared(settings: Settings) -> Gateway:
    """The configuration, without its secrets. CommandFailed when it cannot be used."""
    loaded = await load(settings.config, settings.environment, placeholders=True)
    if loaded.gateway is None:
        raise CommandFailed(USAGE, f"the configuration cannot be used: {loaded.problems[0]}")
    return loaded.gateway


def exit_status(command: str, work: Coroutine[Any, Any, None]) -> int:
    """Do the work; returns the exit status. What goes wrong is one line on stderr that begins with the command."""
    logging.getLogger("azure").setLevel(logging.ERROR)  # each credential it tries in vain would add its own warning
    try:
        asyncio.run(work)
    except CommandFailed as failure:
        message, status = str(failure), failure.status
    except Refusal as refusal:
        message, status = refusal.message, REFUSED
    except SettingsError as error:
        message, status = str(error), USAGE
    except StorageRefused as error:
        message, status = f"storage refuses access: {error}", NO_STORAGE
    except StoreError as error:
        message, status = f"storage does not answer: {error}", NO_STORAGE
    else:
        return OK
    print(f"{command}: {message}", file=sys.stderr)
    return status
