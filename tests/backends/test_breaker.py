"""The circuit breaker against a model of APIM's rule, with a clock of its own; and what its rule counts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from shared.backends.circuit_breaker import REFUSED, CircuitBreaker
from shared.config.backends import CircuitBreakerRule

ANY_5XX = [{"min": 500, "max": 599}]


def breaker(*, trip: str = "PT30S", condition: dict[str, Any] | None = None, **options: Any) -> CircuitBreaker:
    counted = {"count": 3, "interval": "PT10S", "status_code_ranges": ANY_5XX, **(condition or {})}
    return CircuitBreaker(
        CircuitBreakerRule.model_validate({"failure_condition": counted, "trip_duration": trip, **options})
    )


@dataclass(frozen=True)
class Call:
    """A call that was let through: its era, and in which phase of the model that was."""

    era: int
    phase: int


class BreakerMachine(RuleBasedStateMachine):
    """Calls come, fail, succeed, are abandoned, in any order and late; other instances trip and close it meanwhile."""

    calls = Bundle("calls")

    @initialize(count=st.integers(1, 4), retry_after=st.booleans())
    def begin(self, count: int, retry_after: bool) -> None:
        self.count, self.accepts = count, retry_after
        self.breaker = breaker(
            condition={"count": count}, accept_retry_after=retry_after, max_retry_after="PT1M", trip="PT30S"
        )
        self.now = 1000.0
        self.failures: list[float] = []  # of this phase
        self.phase = 0
        self.probe_at: float | None = None  # None: closed
        self.trial: Call | None = None

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0, 10.0, 29.0, 31.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=calls)
    def call(self) -> Any:
        if self.probe_at is None:
            admitted = True
        else:
            admitted = self.now >= self.probe_at and self.trial is None
        assert self.breaker.admits(self.now) == admitted
        era = self.breaker.admit(self.now)
        assert (era != REFUSED) == admitted
        if not admitted:
            return Call(-1, -1)
        if self.probe_at is not None:
            self.phase += 1
        call = Call(era, self.phase)
        if self.probe_at is not None:
            self.trial = call
        return call

    @rule(call=consumes(calls))
    def succeeds(self, call: Call) -> None:
        change = self.breaker.succeed(call.era, self.now)
        if call.phase == self.phase and call is self.trial:
            assert change == "closed"
            self.closed()
        else:
            assert change is None

    @rule(call=consumes(calls), retry_after=st.sampled_from([None, 0.0, 5.0, 86400.0]))
    def fails(self, call: Call, retry_after: float | None) -> None:
        trips = False
        if call.phase == self.phase:
            if self.probe_at is None:
                self.failures.append(self.now)
                newest = self.failures[-self.count :]
                trips = len(newest) == self.count and self.now - newest[0] <= 10.0
            else:
                trips = call is self.trial
        assert self.breaker.fail(call.era, self.now, retry_after) == ("tripped" if trips else None)
        if trips:
            wait = min(60.0, retry_after) if self.accepts and retry_after is not None else 30.0
            self.opened(self.now + wait)

    @rule(call=consumes(calls))
    def is_abandoned(self, call: Call) -> None:
        self.breaker.release(call.era)
        if call is self.trial:
            self.trial = None

    @rule(seconds=st.sampled_from([1.0, 20.0]))
    def another_instance_trips(self, seconds: float) -> None:
        self.breaker.adopt(self.now + seconds, 6.0)
        self.opened(self.now + seconds + 6.0)

    @precondition(lambda self: self.probe_at is not None)
    @rule()
    def another_instance_closes(self) -> None:
        self.breaker.close()
        self.closed()

    @invariant()
    def says_what_it_is(self) -> None:
        if self.probe_at is None:
            assert self.breaker.state(self.now) == "closed"
            assert self.breaker.ready_at(self.now) == self.now
        elif self.now < self.probe_at:
            assert self.breaker.state(self.now) == "open"
            assert self.breaker.ready_at(self.now) == self.probe_at
        else:
            assert self.breaker.state(self.now) == "half-open"
            assert self.breaker.ready_at(self.now) == (self.now if self.trial is None else self.now + 1)

    def opened(self, until: float) -> None:
        self.probe_at, self.trial = until, None
        self.phase += 1

    def closed(self) -> None:
        self.probe_at, self.trial, self.failures = None, None, []
        self.phase += 1


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_only_one_of_many_tries_a_backend_whose_time_is_up() -> None:
    one = breaker(condition={"count": 1})
    one.fail(one.admit(0.0), 0.0)
    assert [one.admit(29.9) for _ in range(100)] == [REFUSED] * 100
    admitted = [one.admit(30.0) for _ in range(100)]
    assert sum(era != REFUSED for era in admitted) == 1
    one.succeed(next(era for era in admitted if era), 31.0)
    assert all(one.admit(31.0) for _ in range(100))


def test_failures_of_calls_begun_before_the_trip_do_not_prolong_it() -> None:
    one = breaker(condition={"count": 1})
    early = [one.admit(0.0) for _ in range(10)]
    assert one.fail(early[0], 1.0) == "tripped"
    assert {one.fail(era, 25.0) for era in early[1:]} == {None}
    assert one.admit(31.0) != REFUSED


@pytest.mark.parametrize(
    ("failures", "calls", "trips"), [(4, 4, False), (2, 5, False), (3, 5, True), (5, 10, True), (4, 10, False)]
)
def test_a_percentage_counts_from_its_minimum_on(failures: int, calls: int, trips: bool) -> None:
    one = breaker(condition={"count": None, "percentage": 50, "minimum_calls": 5})
    changes = [one.succeed(one.admit(0.1 * at), 0.1 * at) for at in range(calls - failures)]
    changes += [one.fail(one.admit(2.0), 2.0) for _ in range(failures)]
    assert ("tripped" in changes) == trips


def test_a_percentage_forgets_what_is_older_than_the_interval() -> None:
    one = breaker(condition={"count": None, "percentage": 50, "minimum_calls": 5})
    for at in (0.0, 0.1, 0.2, 0.3):
        assert one.fail(one.admit(at), at) is None
    assert one.fail(one.admit(11.0), 11.0) is None
    assert [one.fail(one.admit(12.0), 12.0) for _ in range(4)] == [None, None, None, "tripped"]


@pytest.mark.parametrize(
    ("condition", "statuses", "reasons"),
    [
        ({"status_code_ranges": [{"min": 429, "max": 429}]}, {429}, set()),
        ({"status_code_ranges": [], "error_reasons": ["timeout"]}, set(), {"Timeout"}),
        (
            {"status_code_ranges": [{"min": 429, "max": 429}], "error_reasons": ["Server errors"]},
            {429, 500, 599},
            {"Timeout", "BackendConnectionFailure", "Server errors"},
        ),
    ],
)
def test_what_counts_as_a_failure(condition: dict[str, Any], statuses: set[int], reasons: set[str]) -> None:
    one = breaker(condition=condition)
    assert {status for status in (200, 400, 429, 499, 500, 599) if status in one.statuses} == statuses
    assert one.reasons == reasons


def invalid_rules() -> Iterator[Any]:
    good = {"count": 1, "interval": "PT1M", "status_code_ranges": ANY_5XX}
    yield {**good, "percentage": 10}, "exactly one of count, percentage"
    yield {**good, "count": None}, "exactly one of count, percentage"
    yield {**good, "status_code_ranges": []}, "status_code_ranges or error_reasons"
    yield {**good, "status_code_ranges": [{"min": 500, "max": 429}]}, "min is above max"
    yield {**good, "interval": "1M"}, "ISO 8601"
    yield {**good, "interval": "PT"}, "ISO 8601"
    yield {**good, "error_reasons": ["whatever"]}, "none of Timeout, BackendConnectionFailure, Server errors"
    yield {**good, "minimum_calls": 3}, "goes with percentage"


@pytest.mark.parametrize(("condition", "message"), list(invalid_rules()))
def test_rules_that_do_not_load(condition: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CircuitBreakerRule.model_validate({"failure_condition": condition, "trip_duration": "PT1M"})
