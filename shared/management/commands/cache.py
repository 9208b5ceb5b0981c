"""`python -m shared cache calibrate | stats | purge | show`: the semantic cache from outside."""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from shared.backends.auth.managed_identity import AzureIdentity, IdentityTokens
from shared.backends.embeddings import EmbeddingModel, Embeddings, EmbeddingsUnavailable
from shared.backends.target import compile_backend
from shared.config.key_vault import KeyVault
from shared.config.loader import load
from shared.management.cache import CacheAdmin, Line, Outcome, Pair, calibration, loosest, read_pairs, stock_document
from shared.management.commands.command import (
    NO_STORAGE,
    USAGE,
    CommandFailed,
    add_config_option,
    exit_status,
    settings_with,
)
from shared.management.commands.storage import storage_account
from shared.management.commands.terminal import in_columns
from shared.settings import Settings, is_local
from shared.stores.semantic_cache.table_log import TABLE, TableLog

AT_ONCE = 512

EPILOG = """exit status: 0 done, 2 wrong arguments, settings or configuration, 3 storage or embeddings do not answer"""
CALIBRATE = """Reads pairs of questions from your own users (columns: question, question, 1 if one answer does for both,
else 0), embeds them with the backend your policy names, and prints what each score-threshold would do: how many of the
pairs that should hit do (recall), how many that should not do (false hits), and how many hits are right (precision),
with and without guards. Scales differ between embedding models: a threshold means little without this."""


def add_arguments(subparsers: Any) -> None:
    """Add `cache` with its verbs to the subparsers of an argparse parser."""
    summary = "calibrate, inspect and purge the semantic cache"
    parser = subparsers.add_parser("cache", help=summary, description=summary, epilog=EPILOG)
    parser.set_defaults(run=run)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    calibrate = verbs.add_parser("calibrate", help="tell what each score-threshold would do", description=CALIBRATE)
    calibrate.add_argument("pairs", type=Path, metavar="PAIRS.CSV", help="file with the pairs")
    calibrate.add_argument("--backend", required=True, metavar="ID", help="the embeddings-backend-id of the policy")
    calibrate.add_argument(
        "--model", default="text-embedding-3-small", help="where the URL names no deployment (default: %(default)s)"
    )
    calibrate.add_argument("--dimensions", type=int, help="default: as many as the model has")
    add_config_option(calibrate)
    stats = _verb(verbs, "stats", "show entries and bytes by API and by namespace")
    purge = _verb(verbs, "purge", "delete what has expired, or all of an API, or everything")
    what = purge.add_mutually_exclusive_group()
    what.add_argument("--api", metavar="ID", help="all answers of this API")
    what.add_argument("--all", action="store_true", help="all answers")
    show = _verb(verbs, "show", "show the entries of a namespace, or one answer")
    show.add_argument("namespace", help="as stats and the request trace (`partition`) tell it")
    show.add_argument("id", nargs="?", help="an entry: prints its answer")
    for verb in (calibrate, stats, purge, show):
        verb.add_argument("--json", action="store_true", help="print JSON")


def _verb(verbs: Any, name: str, summary: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=summary, description=summary)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked; returns the exit status."""
    return exit_status(f"cache {arguments.verb}", _run(arguments))


async def _run(arguments: argparse.Namespace) -> None:
    if arguments.verb == "calibrate":
        print(await _calibrate(settings_with(arguments.config), arguments, _pairs(arguments.pairs)))
    else:
        print(await _administer(settings_with(), arguments))


async def _administer(settings: Settings, arguments: argparse.Namespace) -> str:
    async with storage_account(settings) as account:
        admin = CacheAdmin(TableLog(account.tables.table(TABLE, deadline=60.0)), time.time)
        match arguments.verb:
            case "stats":
                return await _stats(admin, as_json=arguments.json)
            case "purge":
                deleted = await admin.purge(api=arguments.api, everything=arguments.all)
                return json.dumps({"deleted": deleted}) if arguments.json else f"deleted {deleted} entries"
            case _:
                return await _show(admin, arguments.namespace, arguments.id, as_json=arguments.json)


async def _stats(admin: CacheAdmin, *, as_json: bool) -> str:
    apis, partitions = await admin.stats()
    if as_json:
        kinds = (("apis", apis), ("namespaces", partitions))
        return json.dumps({name: {key: stock_document(one) for key, one in kind.items()} for name, kind in kinds})
    rows: list[Sequence[str]] = [("", "namespaces", "entries", "expired", "KiB", "oldest", "newest")]
    for kind in (apis, dict(sorted(partitions.items(), key=lambda item: -item[1].entries)[:20])):
        for name, one in kind.items():
            counted = (len(one.namespaces), one.entries, one.over, one.size // 1024)
            rows.append((name or "-", *map(str, counted), _time(one.oldest), _time(one.newest)))
    return in_columns(rows) if len(rows) > 1 else "the cache is empty"


async def _show(admin: CacheAdmin, partition: str, id: str | None, *, as_json: bool) -> str:
    if id is not None:
        answer = await admin.answer(partition, id)
        if answer is None:
            raise CommandFailed(USAGE, f"there is no answer {id} in {partition}")
        return answer.body.decode("utf-8", "replace")
    entries = await admin.entries(partition)
    if as_json:
        return json.dumps([asdict(entry) for entry in entries])
    rows: list[Sequence[str]] = [("id", "created", "expires", "bytes")]
    rows += [(one.id, _time(one.created / 1000), _time(one.expires), str(one.size)) for one in entries]
    return in_columns(rows) if entries else "there is nothing in this namespace"


def _pairs(file: Path) -> list[Pair]:
    try:
        return read_pairs(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise CommandFailed(USAGE, f"{file}: {error}") from error


async def _calibrate(settings: Settings, arguments: argparse.Namespace, pairs: Sequence[Pair]) -> str:
    identity = AzureIdentity(settings.identity_client_id, local=is_local(settings.environment))
    embeddings = Embeddings(IdentityTokens(identity.fetch), time.monotonic, Random())
    try:
        model = await _model(settings, identity, arguments)
        lines = calibration(pairs, await _cosines(embeddings, model, pairs))
    except EmbeddingsUnavailable as error:
        raise CommandFailed(NO_STORAGE, f"no embeddings: {error}") from error
    finally:
        await embeddings.aclose()
        await identity.aclose()
    return json.dumps([asdict(line) for line in lines]) if arguments.json else _report(pairs, lines)


async def _model(settings: Settings, identity: AzureIdentity, arguments: argparse.Namespace) -> EmbeddingModel:
    vault = KeyVault(identity.credential)
    try:
        loaded = await load(settings.config, settings.environment, vault.secret)
    finally:
        await vault.aclose()
    backend = loaded.gateway.backends.get(arguments.backend) if loaded.gateway is not None else None
    if backend is None or backend.pool is not None:
        problem = f" ({loaded.problems[0]})" if loaded.problems else ""
        raise CommandFailed(USAGE, f"{settings.config} has no single backend {arguments.backend}{problem}")
    try:
        target = compile_backend(arguments.backend, backend, settings.config.parent)
    except (OSError, ValueError) as error:
        raise CommandFailed(USAGE, f"backend {arguments.backend}: {error}") from error
    return EmbeddingModel(target, arguments.model, arguments.dimensions)


async def _cosines(embeddings: Embeddings, model: EmbeddingModel, pairs: Sequence[Pair]) -> list[float]:
    from shared.stores.semantic_cache.entry import Vector, as_vector

    texts = list(dict.fromkeys(text for pair in pairs for text in (pair.one, pair.other)))
    vectors: dict[str, Vector] = {}
    for at in range(0, len(texts), AT_ONCE):
        batch = texts[at : at + AT_ONCE]
        found = await embeddings.embed_all(model, batch)
        vectors |= {text: as_vector(data) for text, data in zip(batch, found, strict=True)}
    return [float(vectors[pair.one] @ vectors[pair.other]) for pair in pairs]


def _report(pairs: Sequence[Pair], lines: Sequence[Line]) -> str:
    same = sum(pair.same for pair in pairs)
    rows: list[Sequence[str]] = [("score-threshold", "precision", "recall", "false hits", "without guards:", "", "")]
    rows += [(f"{line.threshold:g}", *_cells(line.guarded), *_cells(line.unguarded)) for line in lines]
    best = loosest(lines, 0.99)
    advice = "no threshold has hits that are right 99 times in 100" if best is None else (
        f"largest score-threshold whose hits are right at least 99 times in 100: {best:g}"
    )  # fmt: skip
    return f"{len(pairs)} pairs, {same} with the same answer\n{in_columns(rows)}\n{advice}"


def _cells(outcome: Outcome) -> tuple[str, str, str]:
    values = (outcome.precision, outcome.recall, outcome.false_hits)
    cells = ["-" if value is None else f"{value:.1%}" for value in values]
    return cells[0], cells[1], cells[2]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
