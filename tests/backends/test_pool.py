"""The choice of members: shares by weight whatever comes and goes, priorities, and the cheapest of them."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.backends.pool import Member, Members


def shares(members: Members, calls: int, away: dict[str, range] | None = None) -> Counter[str]:
    """How often each was chosen; `away`: of every hundred calls those it misses."""

    def available(member: Member) -> bool:
        return call % 100 not in (away or {}).get(member.id, ())

    chosen: Counter[str] = Counter()
    for call in range(calls):  # noqa: B007 (`available` reads it)
        member = members.choose(available)
        assert member is not None
        chosen[member.id] += 1
    return chosen


def test_70_to_30_over_10_000_calls() -> None:
    chosen = shares(Members([Member("a", weight=70), Member("b", weight=30)]), 10_000)
    assert chosen["a"] == pytest.approx(7000, abs=1)


def test_it_is_smooth() -> None:
    members = Members([Member("a", weight=70), Member("b", weight=30)])
    order = "".join(member.id for _ in range(10) if (member := members.choose(lambda _: True)) is not None)
    assert order == "abaabaaaba"


@pytest.mark.parametrize(
    "missing", [range(50), range(0, 100, 2), range(1, 100, 2), range(0, 100, 3), range(10, 100), range(99)]
)
def test_a_flapping_member_gets_its_part_and_the_others_keep_theirs(missing: range) -> None:
    members = Members([Member("a", weight=70), Member("b", weight=30), Member("c", weight=100)])
    chosen = shares(members, 10_000, {"c": missing})
    there = 100 - len(missing)
    # Half of the calls it was there for; never starved, and never paid back for the time away.
    assert chosen["c"] == pytest.approx(10_000 * there / 100 / 2, abs=100)
    assert chosen["a"] / (chosen["a"] + chosen["b"]) == pytest.approx(0.7, abs=0.01)


def test_two_that_flap_in_turn_leave_the_third_its_part() -> None:
    members = Members([Member("a", weight=50), Member("b", weight=50), Member("c", weight=100)])
    chosen = shares(members, 10_000, {"a": range(0, 100, 2), "b": range(1, 100, 2)})
    assert chosen["a"] == pytest.approx(1667, abs=100)
    assert chosen["b"] == pytest.approx(1667, abs=100)
    assert chosen["c"] == pytest.approx(6667, abs=100)


def test_a_lower_priority_waits_until_none_of_the_better_is_there() -> None:
    members = Members([Member("low", 2), Member("high", 1), Member("next", 1)])
    assert set(shares(members, 100)) == {"high", "next"}
    assert shares(members, 100, {"high": range(100), "next": range(50)}) == {"next": 50, "low": 50}


def test_nobody_is_chosen_when_nobody_is_there() -> None:
    assert Members([Member("a"), Member("b", 3)]).choose(lambda _: False) is None


def test_weight_zero_is_for_when_no_other_is_left() -> None:
    members = Members([Member("a", weight=10), Member("y", weight=0), Member("z", weight=0)])
    assert shares(members, 100) == {"a": 100}
    chosen = shares(members, 100, {"a": range(100)})
    assert chosen == {"y": 50, "z": 50}


def test_those_tried_before_come_last_within_their_priority() -> None:
    members = Members([Member("a", 1), Member("b", 1), Member("c", 2)])
    assert {str(members.choose(lambda _: True, avoid=["a"]).id) for _ in range(10)} == {"b"}  # type: ignore[union-attr]
    assert {str(members.choose(lambda _: True, avoid=["a", "b"]).id) for _ in range(10)} == {"a", "b"}  # type: ignore[union-attr]


def test_the_cheapest_is_chosen_and_equals_by_weight() -> None:
    members = Members([Member("a", weight=3), Member("b", weight=1), Member("dear", weight=90)])
    costs = {"a": 1.0, "b": 1.0, "dear": 2.0}
    chosen: Counter[str] = Counter()
    for _ in range(400):
        member = members.choose(lambda _: True, cost=lambda member: costs[member.id])
        assert member is not None
        chosen[member.id] += 1
    assert chosen == {"a": 300, "b": 100}


class ChoiceMachine(RuleBasedStateMachine):
    """Members come and go in any order; each choice is one of the available with the best priority, and as long as
    nothing changes each gets its share."""

    @initialize(
        declared=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 10)), min_size=1, max_size=6),
    )
    def begin(self, declared: list[tuple[int, int]]) -> None:
        self.all = [Member(str(at), priority, weight) for at, (priority, weight) in enumerate(declared)]
        self.members = Members(self.all)
        self.there = {member.id for member in self.all}

    @rule(at=st.integers(0, 5))
    def toggle(self, at: int) -> None:
        self.there ^= {self.all[at % len(self.all)].id}

    @rule(count=st.integers(1, 40))
    def choose(self, count: int) -> None:
        candidates = self.candidates()
        chosen: Counter[str] = Counter()
        for _ in range(count):
            member = self.members.choose(lambda member: member.id in self.there)
            if not candidates:
                assert member is None
                return
            assert member in candidates
            chosen[member.id] += 1
        total = sum(member.weight or 1 for member in candidates)
        for member in candidates:
            due = count * (member.weight or 1) / total
            assert abs(chosen[member.id] - due) <= 2 * len(self.all), (chosen, member)

    @precondition(lambda self: len(self.there) > 1)
    @rule()
    def flap(self) -> None:
        one = min(self.there)
        for _ in range(20):
            self.there ^= {one}
            self.members.choose(lambda member: member.id in self.there)

    @invariant()
    def nobody_runs_into_debt(self) -> None:
        for member in getattr(self, "all", ()):
            assert abs(member.credit) <= len(self.all)

    def candidates(self) -> list[Member]:
        available = [member for member in self.all if member.id in self.there]
        best = [member for member in available if member.priority == min(one.priority for one in available)]
        return [member for member in best if member.weight] or best


TestChoiceMachine = ChoiceMachine.TestCase
TestChoiceMachine.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
