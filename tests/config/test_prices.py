"""Prices in `gateway.yaml`: what may stand there, and what is said of mistakes."""

from datetime import date
from pathlib import Path

from shared.config.loader import Loaded, load

TEXT = """\
backends:
  main: { url: "https://a.example.com" }
  ptu: { url: "https://b.example.com" }
  pool: { pool: { services: [{ id: main }, { id: ptu }] } }
prices:
"""


async def loaded(tmp_path: Path, prices: str) -> Loaded:
    file = tmp_path / "gateway.yaml"
    file.write_text(TEXT + prices, encoding="utf-8")
    return await load(file, {})


async def test_prices_are_read(tmp_path: Path) -> None:
    found = await loaded(
        tmp_path,
        """\
  - { model: gpt-4o, input: 2.1, cached_input: 1, output: 8.4, currency: EUR, valid_from: 2026-12-01 }
  - { model: "*", backend: ptu, input: 0, output: 0 }
""",
    )
    assert found.problems == [] and found.gateway is not None
    ours, ptu = found.gateway.prices
    assert (ours.input, ours.cached_input, ours.currency, ours.valid_from) == (2.1, 1, "EUR", date(2026, 12, 1))
    assert (ptu.backend, ptu.output, ptu.currency, ptu.cache_write) == ("ptu", 0, "USD", None)


async def test_mistakes_are_told_where_they_are(tmp_path: Path) -> None:
    found = await loaded(
        tmp_path,
        """\
  - { model: gpt-4o, input: -1, output: 8 }
  - { model: gpt-4o, input: 1, ouput: 8 }
  - { model: o3, input: .inf, output: 1, currency: euro, valid_from: soon, provider: azure }
""",
    )
    assert sorted(map(str, found.problems)) == [
        "gateway.yaml:6 prices.0.input: input should be greater than or equal to 0",
        "gateway.yaml:7 prices.1.ouput: unknown key ouput, did you mean output?",
        "gateway.yaml:7 prices.1: output is required",
        "gateway.yaml:8 prices.2.currency: string should match pattern '^[A-Z]{3}$'",
        "gateway.yaml:8 prices.2.input: input should be a finite number",
        "gateway.yaml:8 prices.2.provider: input should be 'azure.ai.openai', 'azure.ai.inference', 'openai' or "
        "'anthropic'",
        "gateway.yaml:8 prices.2.valid_from: input should be a valid date or datetime, input is too short",
    ]


async def test_prices_that_can_never_be_charged_are_told(tmp_path: Path) -> None:
    found = await loaded(
        tmp_path,
        """\
  - { model: gpt-4o, input: 1, output: 1 }
  - { model: GPT-4o, input: 2, output: 2 }
  - { model: gpt-4o, input: 2, output: 2, above_prompt_tokens: 1000 }
  - { model: gpt-4o, backend: put, input: 0, output: 0 }
  - { model: gpt-4o, backend: pool, input: 0, output: 0 }
""",
    )
    assert sorted(map(str, found.problems)) == [
        "gateway.yaml:10 prices.4.backend: pool is a pool: its members have prices",
        "gateway.yaml:7 prices.1: the price of GPT-4o is there twice",
        "gateway.yaml:9 prices.3.backend: no backend put, did you mean ptu?",
    ]
