"""`--help`: each command and verb says what it does, each of its arguments what it is."""

import argparse
from collections.abc import Iterator

import pytest

from shared.__main__ import command_parser, main


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its commands and verbs."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from parsers(inner)


def test_every_command_and_argument_is_explained() -> None:
    found = {parser.prog: parser for parser in parsers(command_parser([]))}
    assert {"python -m shared serve", "python -m shared limits reset"} <= found.keys()
    assert [name for name, parser in found.items() if not parser.description] == []
    unexplained = [
        f"{name} {action.option_strings or action.dest}"
        for name, parser in found.items()
        # What the wizard's fields are called says what they are: the policies' attributes, and those of an API.
        if " import " not in name
        for action in parser._actions
        if not action.help and not isinstance(action, argparse._SubParsersAction)
    ]
    assert unexplained == []


def test_help_of_one_command_is_that_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    for name, parser in [(parser.prog.split()[3:], parser) for parser in parsers(command_parser([]))]:
        with pytest.raises(SystemExit):
            main([*name, "--help"])
        assert capsys.readouterr().out == parser.format_help()
