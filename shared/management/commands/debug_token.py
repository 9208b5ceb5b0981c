"""`python -m shared debug-token`: makes a token that lets a caller see the trace of a request."""

import argparse
import sys
from datetime import timedelta
from typing import Any

from shared.gateway.tracing import DebugTokens
from shared.management.commands.command import settings_with

EPILOG = """A call with the token in Apim-Debug-Authorization is answered with Apim-Trace-Id;
GET /_management/traces/<id> with the same header shows the trace. The token is signed with GATEWAY_KEY_HASH_SECRET,
which has to be the gateway's (locally both take it from .run)."""


def add_arguments(subparsers: Any) -> None:
    """Add `debug-token` to the subparsers of an argparse parser."""
    summary = "make a token that lets a caller see request traces"
    parser = subparsers.add_parser("debug-token", help=summary, description=summary, epilog=EPILOG)
    parser.add_argument("--api", default="", metavar="ID", help="the only API it opens (default: all)")
    parser.add_argument("--minutes", type=int, default=60, help="how long it is good for, 60 at most (default: 60)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print a token."""
    try:
        print(DebugTokens(settings_with().key_hash_secret).issue(arguments.api, timedelta(minutes=arguments.minutes)))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
