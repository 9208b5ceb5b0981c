"""Sampling: what is recorded, and that item counts add up to what there was."""

from random import Random

import pytest
from azure.monitor.opentelemetry.exporter import ApplicationInsightsSampler

from shared.settings import SAMPLERS, SettingsError, telemetry_settings
from shared.telemetry.sampling import BURST, RateLimited, Sampler, sampler_named

STRING = {"APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=x"}


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def stands_for(sampler: Sampler, trace_id: int = 1) -> int:
    """How many requests Application Insights counts for one: 0 when it is not recorded."""
    percentage = sampler(trace_id)
    return 0 if percentage is None else round(100 / percentage)


def test_ordinary_traffic_is_whole() -> None:
    clock = Clock()
    sampler = RateLimited(100, clock)
    for _ in range(1_000):
        clock.now += 0.01
        assert sampler(1) == 100.0
    assert [sampler(1) for _ in range(BURST - 1)] == [100.0] * (BURST - 1)
    clock.now += 3_600
    passed_over = [sampler(1) for _ in range(BURST + 100)].count(None)
    assert passed_over == 100  # an hour of silence saves up no more


def test_a_flood_is_thinned_to_the_rate_and_still_counted_in_full() -> None:
    clock = Clock()
    sampler = RateLimited(100, clock, burst=50)
    counts = []
    for _ in range(10 * 4_000):
        clock.now += 1 / 4_000
        counts.append(stands_for(sampler))
    recorded = sum(count > 0 for count in counts)
    assert 1_000 <= recorded <= 1_051
    assert 40_000 - sum(counts) < 41  # what was passed over since the last recorded one
    clock.now += 1
    assert stands_for(sampler) == 40_000 - sum(counts) + 1


def test_a_rate_of_nothing_records_nothing() -> None:
    clock = Clock()
    sampler = RateLimited(0, clock)
    clock.now += 3_600
    assert [sampler(id) for id in range(10)] == [None] * 10


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_a_share_takes_the_traces_that_every_other_service_takes(share: float) -> None:
    ours, theirs = sampler_named("microsoft.fixed_percentage", share, Clock()), ApplicationInsightsSampler(share)
    random = Random(7)
    ids = [random.getrandbits(128) for _ in range(2_000)]
    kept = {id for id in ids if theirs.should_sample(None, id, "name").decision.is_sampled()}
    assert {id for id in ids if ours(id) is not None} == kept
    assert {ours(id) for id in kept} <= {share * 100}
    assert abs(len(kept) - share * 2_000) < 100


def test_on_and_off() -> None:
    assert sampler_named("always_on", 0, Clock())(1) == 100.0
    assert sampler_named("always_off", 0, Clock())(1) is None


def test_settings_are_opentelemetrys() -> None:
    assert telemetry_settings({"OTEL_TRACES_SAMPLER": "always_on"}) is None
    plain = telemetry_settings({**STRING, "WEBSITE_SITE_NAME": "func-a", "WEBSITE_POD_NAME": "pod-1"})
    assert plain is not None
    assert (plain.sampler, plain.sampler_argument, plain.metric_seconds) == ("microsoft.rate_limited", 100, 60)
    assert (plain.service_name, plain.instance) == ("func-a", "pod-1")
    told = telemetry_settings(
        {
            **STRING,
            "OTEL_SERVICE_NAME": "gateway-west",
            "OTEL_TRACES_SAMPLER": "microsoft.fixed_percentage",
            "OTEL_TRACES_SAMPLER_ARG": "0.25",
            "OTEL_METRIC_EXPORT_INTERVAL": "5000",
        }
    )
    assert told is not None
    assert (told.service_name, told.sampler, told.sampler_argument, told.metric_seconds) == (
        "gateway-west",
        "microsoft.fixed_percentage",
        0.25,
        5.0,
    )
    assert "InstrumentationKey" not in repr(told)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_TRACES_SAMPLER", "parentbased_always_on"),
        ("OTEL_TRACES_SAMPLER_ARG", "many"),
        ("OTEL_TRACES_SAMPLER_ARG", "-1"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "5"),
    ],
)
def test_what_is_none_of_them_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is {value}"):
        telemetry_settings({**STRING, name: value})


def test_a_share_is_no_percentage() -> None:
    with pytest.raises(SettingsError, match="not a number from 0 to 1$"):
        telemetry_settings(
            {**STRING, "OTEL_TRACES_SAMPLER": "microsoft.fixed_percentage", "OTEL_TRACES_SAMPLER_ARG": "25"}
        )


def test_every_sampler_of_the_settings_is_there() -> None:
    for name, (default, _) in SAMPLERS.items():
        assert sampler_named(name, default, Clock())(1) in (100.0, None)
    with pytest.raises(ValueError, match="no sampler"):
        sampler_named("traceidratio", 1, Clock())
