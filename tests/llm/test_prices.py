"""What a call costs: which price is the price of its model, and what its usage comes to."""

from datetime import UTC, date, datetime
from typing import get_args

import pytest

from shared.config.prices import Price, Provider
from shared.llm.price_list import PRICE_LIST
from shared.llm.prices import Asked, Cost, PriceTable, Rate
from shared.llm.usage import Usage
from shared.telemetry.genai import PROVIDERS

TODAY = date(2026, 11, 20)
MILLION = 1_000_000


def price(model: str, input: float, output: float = 0, **more: object) -> Price:
    return Price.model_validate({"model": model, "input": input, "output": output, **more})


def input_price(table: PriceTable, asked: Asked, *, prompt: int = 1, day: date = TODAY) -> float | None:
    rate = table.rate(asked, prompt, day)
    return rate.input if rate is not None else None


def spent(rate: Rate, usage: Usage) -> float:
    return rate.cost(usage).amount


def answered(model: str, asked_for: str = "some-deployment") -> Asked:
    return Asked(model, asked_for)


def test_each_token_is_charged_once() -> None:
    sonnet = price("m", 3, 15, cached_input=0.3, cache_write=3.75, long_cache_write=6)
    rate = PriceTable([sonnet], ()).rate(answered("m"), 1, TODAY)
    assert rate is not None
    plain = Usage(2 * MILLION, MILLION, 3 * MILLION)
    assert spent(rate, plain) == 2 * 3 + 15
    cached = Usage(10 * MILLION, 0, 10 * MILLION, cached_tokens=6 * MILLION, cache_creation_tokens=3 * MILLION)
    assert spent(rate, cached) == pytest.approx(1 * 3 + 6 * 0.3 + 3 * 3.75)
    longer = cached._replace(long_cache_creation_tokens=2 * MILLION)
    assert spent(rate, longer) == pytest.approx(1 * 3 + 6 * 0.3 + 1 * 3.75 + 2 * 6)
    reasoned = Usage(MILLION, MILLION, 2 * MILLION, reasoning_tokens=900_000)
    assert spent(rate, reasoned) == 3 + 15
    thoughts_in_the_total_alone = Usage(MILLION, MILLION, 4 * MILLION)
    assert spent(rate, thoughts_in_the_total_alone) == 3 + 3 * 15


def test_sound_and_pictures_have_prices_of_their_own() -> None:
    spoken = price("m", 2.5, 10, audio_input=40, audio_output=80, image_input=5)
    rate = PriceTable([spoken], ()).rate(answered("m"), 1, TODAY)
    assert rate is not None
    usage = Usage(
        4 * MILLION,
        3 * MILLION,
        7 * MILLION,
        audio_prompt_tokens=MILLION,
        audio_completion_tokens=2 * MILLION,
        image_prompt_tokens=MILLION,
    )
    assert spent(rate, usage) == 2 * 2.5 + 40 + 5 + 10 + 2 * 80


def test_what_is_not_priced_apart_costs_what_input_and_output_cost() -> None:
    rate = PriceTable([price("m", 2, 8)], ()).rate(answered("m"), 1, TODAY)
    assert rate is not None and rate.cost(Usage(MILLION, 0, MILLION)) == Cost(2, "USD")
    details = Usage(10, 5, 15, 4, 3, 2, 1, 1, 1, long_cache_creation_tokens=2)
    assert spent(rate, details) == spent(rate, Usage(10, 5, 15))


@pytest.mark.parametrize(
    "model",
    [
        "gpt-4o",
        "GPT-4o",
        "gpt-4o-2024-11-20",
        "openai/gpt-4o-latest",
        "gpt-4o@20241120",
        "us.openai.gpt-4o-20241120-v1:0",
    ],
)
def test_a_name_is_good_for_its_dated_versions(model: str) -> None:
    assert input_price(PriceTable([price("gpt-4o", 7)], ()), answered(model)) == 7


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-4o-audio-preview", "gpt-4", "gpt-4o-2024-11-20.ft-1", "", "x"])
def test_a_name_is_not_good_for_other_models(model: str) -> None:
    assert input_price(PriceTable([price("gpt-4o", 7)], ()), answered(model)) is None


def test_the_nearest_name_counts() -> None:
    table = PriceTable(
        [price("*", 1), price("gpt-4*", 2), price("gpt-4o-*", 3), price("gpt-4o", 4), price("gpt-4o-2024-05-13", 5)], ()
    )
    found = {
        model: input_price(table, answered(model))
        for model in ("gpt-4o-2024-05-13", "gpt-4o-2024-11-20", "gpt-4o-mini", "gpt-4.1", "o3")
    }
    assert found == {
        "gpt-4o-2024-05-13": 5, "gpt-4o-2024-11-20": 4, "gpt-4o-mini": 3, "gpt-4.1": 2, "o3": 1
    }  # fmt: skip


def test_a_pattern_knows_no_other_wildcards() -> None:
    table = PriceTable([price("gpt-?", 1), price("gpt-[45]", 2), price("gpt-4.*", 3)], ())
    assert [input_price(table, answered(model)) for model in ("gpt-5", "gpt-[45]", "gpt-4.1", "gpt-4x1")] == [
        None, 2, 3, None
    ]  # fmt: skip


def test_a_declared_price_goes_by_the_deployment_too_and_a_listed_one_does_not() -> None:
    """A deployment can be called after a model it is not."""
    asked = Asked("gpt-4o-2024-11-20", "gpt-4")
    listed = [price("gpt-4", 30), price("gpt-4o", 2.5)]
    assert input_price(PriceTable((), listed), asked) == 2.5
    assert input_price(PriceTable((), listed), asked._replace(response_model="")) == 30
    assert input_price(PriceTable((), listed), asked._replace(response_model="new")) is None
    assert input_price(PriceTable([price("gpt-4", 0), price("gpt-4o", 2)], listed), asked) == 0
    assert input_price(PriceTable([price("gpt-4o", 2)], listed), asked) == 2


def test_declared_prices_go_before_the_list() -> None:
    listed = [price("gpt-4o", 2.5)]
    assert input_price(PriceTable([price("gpt-*", 9)], listed), answered("gpt-4o")) == 9


def test_backends_and_providers_can_have_prices_of_their_own() -> None:
    table = PriceTable(
        [
            price("gpt-4o", 2),
            price("gpt-4o", 3, provider="openai"),
            price("*", 0, backend="ptu"),
        ],
        (),
    )
    asked = answered("gpt-4o")
    assert input_price(table, asked._replace(provider="azure.ai.openai")) == 2
    assert input_price(table, asked._replace(provider="openai")) == 3
    assert input_price(table, asked._replace(provider="openai", backend="ptu")) == 0
    assert input_price(table, asked._replace(backend="other")) == 2


def test_long_prompts_and_later_days_can_cost_something_else() -> None:
    table = PriceTable(
        [
            price("m", 1),
            price("m", 2, above_prompt_tokens=1000),
            price("m", 4, valid_from="2026-12-01"),
            price("m", 8, valid_from="2026-12-01", above_prompt_tokens=1000),
        ],
        (),
    )
    asked = answered("m")
    before, on = date(2026, 11, 30), date(2026, 12, 1)
    assert [input_price(table, asked, prompt=size, day=day) for day in (before, on) for size in (1000, 1001)] == [
        1, 2, 4, 8
    ]  # fmt: skip
    assert input_price(PriceTable([price("m", 1, valid_from="2026-12-01")], ()), asked, day=before) is None


def test_the_list_has_one_price_for_a_model_a_day_and_a_tier() -> None:
    keys = [(one.model, one.valid_from, one.above_prompt_tokens) for one in PRICE_LIST]
    assert len(keys) == len(set(keys))
    for one in PRICE_LIST:
        assert one.model == one.model.lower()
        assert one.cached_input is None or one.cached_input <= one.input
        assert one.output > one.input or (one.output == 0 and "embedding" in one.model)


@pytest.mark.parametrize(
    ("model", "usage", "day", "cost"),
    [
        ("gpt-4o-2024-11-20", Usage(MILLION, MILLION, 2 * MILLION, cached_tokens=MILLION), TODAY, 1.25 + 10),
        ("gpt-4o-2024-05-13", Usage(MILLION, 0, MILLION), TODAY, 5),
        ("gpt-4o-mini-2024-07-18", Usage(MILLION, 0, MILLION), TODAY, 0.15),
        ("text-embedding-3-small", Usage(MILLION, 0, MILLION), TODAY, 0.02),
        ("gpt-5.4-2026-03-05", Usage(200_000, 10_000, 210_000), TODAY, 0.2 * 2.5 + 0.15),
        ("gpt-5.4", Usage(300_000, 10_000, 310_000), TODAY, 0.3 * 5 + 0.225),
        ("claude-haiku-5-5", Usage(100_000, 0, 100_000), TODAY, 0.01),
        ("claude-haiku-5-5", Usage(200_000, 0, 200_000), TODAY, 0.1),
        ("claude-sonnet-5-5", Usage(MILLION, 0, MILLION, cached_tokens=MILLION), TODAY, 0.1),
        ("claude-sonnet-5-5", Usage(MILLION, 0, MILLION, cached_tokens=MILLION), date(2026, 10, 6), 0.2),
        ("claude-sonnet-4-5-20250929", Usage(MILLION, MILLION, 2 * MILLION), TODAY, 18),
    ],
)
def test_the_list_by_example(model: str, usage: Usage, day: date, cost: float) -> None:
    rate = PriceTable((), PRICE_LIST).rate(answered(model), usage.prompt_tokens, day)
    assert rate is not None and spent(rate, usage) == pytest.approx(cost)


def test_providers_are_those_that_calls_name() -> None:
    assert set(get_args(Provider)) == set(PROVIDERS.values())


def test_a_time_is_the_day_it_is_in_utc() -> None:
    table = PriceTable([price("m", 1, valid_from="2026-11-20")], ())
    assert input_price(table, answered("m"), day=datetime(2026, 11, 20, 0, 0, tzinfo=UTC)) == 1
