"""What the import's tests share: run the command in this process, with a login and a terminal of the test's own."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shared.management.commands import import_api


@dataclass
class ScriptedPrompt:
    """A person at the terminal who chooses the given options, by text."""

    answers: list[str]
    asked: list[str] = field(default_factory=list)

    def choose(self, question: str, options: Sequence[str]) -> int:
        self.asked.append(question)
        answer = self.answers.pop(0)
        return next(number for number, option in enumerate(options) if answer in option)


async def run_import(
    folder: Path, *words: str, token: str = "arm-token", prompt: ScriptedPrompt | None = None, **environment: str
) -> int:
    """Import into `folder`/gateway.yaml; returns the exit code."""
    parser = argparse.ArgumentParser()
    import_api.add_arguments(parser.add_subparsers())

    async def give_token(scope: str) -> str:
        return token

    arguments = parser.parse_args(["import", *words, "--config", str(folder / "gateway.yaml")])
    return await import_api.import_api(arguments, environment, give_token, prompt)


def texts(folder: Path) -> dict[str, str]:
    """Every file below `folder` by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()
    }
