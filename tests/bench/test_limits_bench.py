"""The limits benchmark measures what it says: its yardstick by hand, its simulation on a small case."""

from dataclasses import replace

from tests.bench.limits_simulation import Scenario, simulate
from tests.bench.usage_windows import window_use

SMALL = Scenario("small", 4, load=4, limit=120_000, seconds=130)


def test_worst_window_is_found_between_samples() -> None:
    admitted = [(100.0, 5), (100.1, 5), (109.99, 5), (110.05, 7)]
    use = window_use(admitted, 10, 10, 90, 130)
    assert use.worst == 1.7  # from just after 100.0 to 110.05: 5 + 5 + 7
    assert window_use([], 10, 10, 90, 130).worst == 0


def test_small_fleet_stays_within_the_limit_and_near_it() -> None:
    result = simulate(SMALL)
    assert result.reserved_use.worst <= 1.001
    assert result.true_use.mean > 0.9
    assert result.operations_per_request < 1.0
    assert simulate(SMALL).operations == result.operations, "equal scenarios give equal results"


def test_yardstick_sees_an_open_limit_in_an_outage() -> None:
    outage = replace(SMALL, outages=((60, 90),))
    assert simulate(outage).reserved_use.worst <= 1.001
    assert simulate(replace(outage, on_storage_error="open")).reserved_use.worst > 1.3
