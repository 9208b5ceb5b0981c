"""One counter in one instance: admits from leases in memory, and turns to storage when they do not suffice."""

import asyncio
from collections.abc import Coroutine
from enum import Enum

from shared.stores.counter_entity import CounterState
from shared.stores.counter_ring import Buckets
from shared.stores.debts import due
from shared.stores.demand import Demand
from shared.stores.instance import Instance
from shared.stores.lease_size import LeaseSize
from shared.stores.leases import Lease, LeaseBook
from shared.stores.limits import Admission, Limit, Refusal, Remaining
from shared.stores.periods import NEVER
from shared.stores.protocols import Conflict, StorageBusy, StorageRefused, StorageUnavailable
from shared.stores.refusals import RefusalMemory, refusal
from shared.stores.seen import left
from shared.stores.shard import Grant, Shard, Write
from shared.stores.without_storage import WithoutStorage

_TRIES = 24
_PATIENCE = 1.0
"""Seconds after which a swap that keeps losing is given up."""

_ROUNDS = 6
_QUOTA_ONLY_SECONDS = 60
"""Leases of a limit without a window live as if it had one of a minute."""

_LONG_AGO = -(2**62)
"""A bucket that no window has any more."""


class Outcome(Enum):
    """How asking storage for room ended."""

    GRANTED = "granted"
    REFUSED = "refused"
    CONTENDED = "contended"
    UNREACHABLE = "unreachable"


class Counter:
    """Grants, spends and settles the budget of one key under one limit.

    A lease is charged in storage when it is granted, in the bucket in which it *ends*; spending it moves the charge
    to the present, which storage learns with the next write. So whatever this process forgets by dying, storage has
    charged at least what was spent, at a time no earlier than it was spent.
    """

    def __init__(self, key: str, limit: Limit, instance: "Instance[Counter]") -> None:
        self.key = key
        self.limit = limit
        self.recent = False
        """For whoever keeps counters: whether it was asked for again lately."""
        self._instance = instance
        self._clock = instance.clock
        window = limit.window
        self._windowed = window is not None
        self._buckets = Buckets(window.seconds if window else _QUOTA_ONLY_SECONDS)
        self._guard = min(0.05, self._buckets.seconds / 5)
        # Limits of one key that differ in their numbers share an entity: none may take another's writes for its own.
        writer = f"{instance.writer}{next(instance.numbers):x}"
        self._shards = [
            Shard(instance.entities, key, limit, index, writer, instance.chance) for index in range(limit.shards)
        ]
        self._home = instance.chance.randrange(limit.shards)
        self._leases = LeaseBook()
        self._demand = Demand()
        self._alone = WithoutStorage(limit, self._buckets, instance)
        self._own = self._alone.own
        self._periods: tuple[int, ...] = tuple(0 for _ in limit.quotas)
        self._period_end = float("-inf")
        self._bucket = self._oldest = 0
        self._bucket_end = self._next_turn = float("-inf")
        self._size = LeaseSize(self._buckets)
        self._refusals = RefusalMemory(instance.chance)
        self._seen_in: tuple[CounterState | None, tuple[int, ...], int] | None = None
        self._seen = Remaining(None, ())
        self._low_water = 0.0
        self._waiting = 0
        self._written = 0.0
        self._next_flush = 0.0
        self._task: asyncio.Task[Outcome] | None = None

    # ------------------------------------------------------------------ admitting

    def try_admit(self, amount: int) -> Admission | Refusal | None:
        """Decide from memory, in microseconds; None when storage has to be asked (``admit_after_miss``)."""
        now = self._clock()
        if amount < 1:
            amount = 1
        self._demand.note(now, amount)
        if amount <= self._leases.balance and now < self._next_turn:
            return self._spend(amount)
        return self._decide(now, amount)

    async def admit_after_miss(self, amount: int) -> Admission | Refusal:
        """Decide with the help of storage what ``try_admit`` left open."""
        amount = max(amount, 1)
        self._waiting += amount
        try:
            for _ in range(_ROUNDS):
                # Shielded: a caller that goes away must not leave a write of unknown outcome behind.
                outcome = await asyncio.shield(self._refilling(amount))
                decision = self._decide(self._clock(), amount)
                if decision is not None:
                    return decision
                if outcome is Outcome.CONTENDED:
                    break
        finally:
            self._waiting -= amount
        # Contention is not an outage: storage works, others were faster.
        return Refusal("contention", 1.0, self._leases.balance)

    def _decide(self, now: float, amount: int) -> Admission | Refusal | None:
        if now >= self._next_turn:
            self._turn(now)
        if amount <= self._leases.balance:
            return self._spend(amount)
        alone = self._alone
        if alone.away:
            self._probe(now)
            return self._without_storage(now, amount)
        if alone.settling(now) and alone.room(now) < amount:
            return self._refused_for_storage()
        return self._refusals.recall(now, amount)

    def _spend(self, amount: int) -> Admission:
        bucket, book = self._bucket, self._leases
        lease = book.leases[0]
        if lease.balance > amount:
            lease.balance -= amount
            book.balance -= amount
            if self._windowed and lease.bucket != bucket:
                self._shards[lease.shard].move(lease.bucket, bucket, amount)
        else:
            for each, taken in book.take(amount):
                if self._windowed:
                    self._shards[each.shard].move(each.bucket, bucket, taken)
        self._own.present += amount
        if book.balance < self._low_water and self._task is None:
            self._refilling(amount)
        return Admission(self, amount, bucket, lease.shard, lease.age, self._periods)

    # ------------------------------------------------------------------ settling

    def settle(self, admission: Admission, actual: int) -> None:
        """Replace the admitted estimate by ``actual``; more than the estimate comes out of the leases in hand first."""
        more = actual - admission.amount if actual > 0 else -admission.amount
        shard, bucket, periods = self._shards[admission.shard], admission.bucket, admission.periods
        if not more or admission.age != shard.age:
            return
        if more > 0:  # what is given back may wait for the next turn
            now = self._clock()
            if now >= self._next_turn:
                self._turn(now)
        counts = self._windowed and bucket >= self._oldest
        if bucket == self._bucket:
            self._own.present += more
        else:
            self._own.note(bucket, more)
        if more > 0:
            self._demand.correct(more)
            if periods == self._periods and (counts or periods):
                more -= self._settle_from_leases(bucket, more, counts)
        if counts:
            shard.charge(bucket, more)
        if periods:
            shard.owe(more, periods, self._periods)
        self._instance.dirty.add(self)

    def _settle_from_leases(self, bucket: int, amount: int, counts: bool) -> int:
        settled = 0
        for lease, taken in self._leases.take(amount):
            settled += taken
            if counts:
                self._shards[lease.shard].move(lease.bucket, bucket, taken)
            elif self._windowed:
                self._shards[lease.shard].charge(lease.bucket, -taken)
        return settled

    def leave(self, admission: Admission, *, window: bool, quotas: bool) -> None:
        """Give an admission back in one of the two, so that it is settled in the other alone."""
        shard, bucket, amount = self._shards[admission.shard], admission.bucket, admission.amount
        if admission.age != shard.age:
            return
        if window:
            self._own.note(bucket, -amount)
            self._own.note(_LONG_AGO, amount)
            if self._windowed and bucket >= self._oldest:
                shard.charge(bucket, -amount)
            admission.bucket = _LONG_AGO
        if quotas:
            shard.owe(-amount, admission.periods, self._periods)
            admission.periods = ()
        self._instance.dirty.add(self)

    # ------------------------------------------------------------------ the passing of time

    def _turn(self, now: float) -> None:
        """Give back what ended, and enter the next bucket and the next period when one ended."""
        self._bucket, self._oldest = self._buckets.at(now), self._buckets.oldest(now)
        self._bucket_end = self._buckets.end(self._bucket)
        self._own.enter(self._bucket)
        for lease in self._leases.ended(now):
            self._give_back(lease)
        if now >= self._period_end:
            self._enter(tuple(quota.period.start(now) for quota in self.limit.quotas))
        self._schedule_turn()

    def _schedule_turn(self) -> None:
        self._next_turn = min(self._bucket_end, self._leases.first_end, self._period_end)

    def _enter(self, starts: tuple[int, ...]) -> None:
        # Never back into an earlier period: another instance's clock may have led this one into the next already.
        periods = tuple(max(new, old) for new, old in zip(starts, self._periods, strict=True))
        for i, (new, old) in enumerate(zip(periods, self._periods, strict=True)):
            if new != old:
                for shard in self._shards:
                    shard.owed[i] = 0
        if periods != self._periods:
            self._own.new_period()
            self._periods = periods
            self._refusals.forget()
        ends = [quota.period.end(start) for quota, start in zip(self.limit.quotas, periods, strict=True)]
        self._period_end = min(ends, default=NEVER)
        self._schedule_turn()

    def _give_back(self, lease: Lease) -> None:
        shard = self._shards[lease.shard]
        if lease.age != shard.age:
            return
        if self._windowed:
            shard.charge(lease.bucket, -lease.balance)
        shard.owe(-lease.balance, lease.periods, self._periods)
        self._instance.dirty.add(self)

    # ------------------------------------------------------------------ without storage

    def _probe(self, now: float) -> None:
        """While storage is away one request's shadow asks it now and then; no request waits for the answer."""
        if self._task is None and self._alone.take_probe(now):
            self._start(self._pay([self._shards[self._home]]))

    def _without_storage(self, now: float, amount: int) -> Admission | Refusal:
        alone, shard = self._alone, self._shards[self._home]
        if alone.begins():
            # As it was when last seen: what has left the window since then, others may have used again.
            used = shard.state.ring.total() * len(self._shards) if shard.state else 0
            alone.begin(now, used, self._left().quotas)
        if not alone.admits(now, amount):
            return self._refused_for_storage()
        bucket = self._buckets.at(now)
        self._own.note(bucket, amount)
        if self._windowed:
            shard.charge(bucket, amount)
        shard.owe(amount, self._periods, self._periods)
        alone.owes = True
        self._instance.dirty.add(self)
        return Admission(self, amount, bucket, shard.index, shard.age, self._periods)

    def _refused_for_storage(self) -> Refusal:
        return Refusal("storage", 1.0, self._leases.balance)

    # ------------------------------------------------------------------ asking storage

    def _refilling(self, amount: int) -> asyncio.Task[Outcome]:
        """The one running exchange with storage, or a new one for ``amount``."""
        task = self._task
        # One that has ended stays until the loop comes to its callback; whoever waited for it would spin.
        return task if task is not None and not task.done() else self._start(self._refill(amount))

    def _start(self, work: Coroutine[None, None, Outcome]) -> asyncio.Task[Outcome]:
        task = self._task = asyncio.create_task(work)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[Outcome]") -> None:
        if self._task is task:
            self._task = None

    async def _refill(self, amount: int) -> Outcome:
        """Ask the home shard, and when that has no room one other."""
        order = [self._home]
        if len(self._shards) > 1:
            others = [index for index in range(len(self._shards)) if index != self._home]
            order.append(self._instance.chance.choice(others))
        outcome = Outcome.REFUSED
        for index in order:
            outcome = await self._exchange(self._shards[index], amount)
            if outcome is not Outcome.REFUSED:
                self._home = index
                return outcome
        self._home = self._instance.chance.randrange(len(self._shards))
        return outcome

    async def _exchange(self, shard: Shard, amount: int) -> Outcome:
        try:
            return await self._swap(shard, amount)
        except (StorageUnavailable, StorageRefused) as error:
            self._alone.failed(self._clock(), error)
            self._instance.dirty.add(self)  # the write may have been applied: only the next read tells
            return Outcome.UNREACHABLE

    async def _swap(self, shard: Shard, amount: int) -> Outcome:
        """Compare and swap until it succeeds, for about a second.

        Lost races and throttling are no outage: storage works and the limit is being enforced, so nobody may admit
        on their own. Neither is an answer that is late; it takes a second without any.
        """
        begun = self._clock()
        unanswered: StorageUnavailable | None = None
        for attempt in range(_TRIES):
            cached = attempt == 0 and (amount > 0 or not shard.clean()) and self._may_use_cached(shard)
            longest, unanswered = 0.008 * 2**attempt, None
            try:
                outcome = await self._attempt(shard, amount, cached)
            except Conflict:
                self._alone.reached(self._clock())
                self._size.lost_race(cached=cached)
                longest = 0.008 * attempt  # at once at first: who wrote meanwhile is done
            except StorageBusy:
                if self._alone.throttled(self._clock()):
                    raise
                longest = 0.05 * 2**attempt
            except StorageUnavailable as error:
                unanswered = error
            else:
                if outcome is None:
                    continue
                self._alone.reached(self._clock())
                return outcome
            if self._clock() - begun > _PATIENCE:
                break
            await self._instance.sleep(self._instance.chance.uniform(0, min(0.2, longest)))
        if unanswered is not None:
            raise unanswered
        self._refuse_for_now(Refusal("contention", 1.0, self._leases.balance), self._clock(), 1)
        return Outcome.CONTENDED

    async def _attempt(self, shard: Shard, amount: int, cached: bool) -> Outcome | None:
        """Pay what is owed and, with ``amount``, lease what the leases lack of it; None: read and try again."""
        if not cached:
            await self._read(shard)
        now = self._clock()
        if now >= self._next_turn:
            self._turn(now)
        draft = self._draft(shard, now)
        grant: Grant | None = None
        if amount:
            needed = max(1, amount - self._leases.balance)
            found = refusal(self.limit, shard, draft, self._buckets, now, amount=amount, needed=needed)
            if found is None:
                grant = self._grant(shard, draft, now, needed)
            elif cached:
                self._size.stale()
                return None
            else:
                self._refuse_for_now(found, now, amount)
                if not self._is_due(shard, now):
                    return Outcome.REFUSED
        elif shard.clean():
            return Outcome.GRANTED
        write = await shard.write(draft, self._periods, grant)
        self._won(shard, write, cached, amount)
        return Outcome.GRANTED if grant or not amount else Outcome.REFUSED

    def _refuse_for_now(self, found: Refusal, now: float, amount: int) -> None:
        self._refusals.remember(found, now, amount)
        self._low_water = 0.0

    def _may_use_cached(self, shard: Shard) -> bool:
        return shard.known and self._size.trusts_cache and self._clock() - self._written < self._buckets.window

    async def _read(self, shard: Shard) -> None:
        age = shard.age
        applied = await shard.read(self._periods)
        if shard.age != age:
            self._leases.of_shard(shard.index)
            self._refusals.forget()
        for write in applied:
            self._receive(shard, write)

    def _draft(self, shard: Shard, now: float) -> CounterState:
        assert shard.state is not None
        starts = tuple(use.start for use in shard.state.quotas)
        if any(start > mine for start, mine in zip(starts, self._periods, strict=True)):
            self._enter(starts)
        oldest = self._buckets.oldest(now)
        self._own.forget_before(oldest)
        shard.forget_before(oldest)
        return shard.draft(self._periods, oldest)

    def _grant(self, shard: Shard, draft: CounterState, now: float, needed: int) -> Grant:
        """Charge a lease to the draft: what is needed, what waits for it, and what is likely to be asked for next."""
        in_window = None if shard.limit is None else shard.limit - draft.ring.total()
        room = min(limit - used for limit, used in shard.uses(draft))
        balance = self._leases.balance
        wanted, hold = self._size.wanted(
            self._demand, balance, left=in_window, limit=shard.limit, room=room, writers=len(draft.writers)
        )
        queued = max(needed, min(self._waiting - balance, room))
        amount = max(queued, int(wanted))
        if self._alone.settling(now):
            amount = max(needed, min(amount, int(self._alone.room(now)) - balance))
        # Even what is spent at once must still be valid when the answer comes.
        bucket = self._buckets.at(now + (hold if amount > queued else 0.25 + self._guard))
        until = min(self._buckets.end(bucket), self._period_end) - self._guard
        draft.ring.add(bucket, amount)
        for use in draft.quotas:
            use.used += amount
        return Grant(amount, bucket, until)

    def _won(self, shard: Shard, write: Write, cached: bool, amount: int) -> None:
        self._written = self._clock()
        self._alone.owes = False
        self._size.won(cached=cached)
        self._receive(shard, write)
        if not amount or not write.grant:
            return
        if self._alone.settling(self._written):
            self._own.take_quota(write.grant.amount)
            self._low_water = 0.0
        else:
            self._low_water = self._size.low_water(self._demand, amount, shard.uses(write.state))

    def _receive(self, shard: Shard, write: Write) -> None:
        """Take a written lease into the book, less what was used beyond its estimate while it was on its way; owe it
        back when it came too late."""
        grant = write.grant
        if grant is None:
            return
        late = grant.until <= self._clock()
        back = grant.amount if late else min(grant.amount, shard.debt)

        def lease(balance: int) -> Lease:
            return Lease(shard.index, grant.bucket, grant.until, balance, age=shard.age, periods=write.periods)

        if back:
            self._give_back(lease(back))
        if back < grant.amount:
            self._leases.add(lease(grant.amount - back))
        self._schedule_turn()
        self._instance.dirty.add(self)

    # ------------------------------------------------------------------ writing back

    def _due(self, now: float) -> list[Shard]:
        """The shards to which what is owed should be written now instead of with the next lease."""
        if now >= self._next_turn:
            self._turn(now)
        oldest = self._buckets.oldest(now)
        for shard in self._shards:
            shard.forget_before(oldest)
        return [shard for shard in self._shards if self._is_due(shard, now)]

    def _is_due(self, shard: Shard, now: float) -> bool:
        return due(shard, self._demand, now, self._buckets.window, after_outage=self._alone.owes)

    def flush(self, now: float) -> None:
        """Start to write what is due, every twentieth of the window, unless storage is away or being asked anyway."""
        if self._task is not None or (now < self._next_flush and not self._alone.owes):
            return
        self._next_flush = now + self._buckets.window / 20 * self._instance.chance.uniform(0.8, 1.2)
        shards = self._due(now)
        if shards and self._alone.may_write(now):
            self._start(self._pay(shards))

    async def give_back(self) -> None:
        """Return every lease and write all that is owed; what cannot be returned now goes with the next attempt."""
        for _ in range(3):  # reading may reveal a lease whose write was never answered: that one goes back as well
            while self._task is not None:
                await asyncio.wait([self._task])
            if self.settled() or not self._alone.may_write(self._clock()):
                return
            for shard in self._shards:
                for lease in self._leases.of_shard(shard.index):
                    self._give_back(lease)
            await asyncio.wait([self._start(self._pay([shard for shard in self._shards if not shard.clean()]))])

    async def _pay(self, shards: list[Shard]) -> Outcome:
        outcome = Outcome.GRANTED
        for shard in shards:
            outcome = await self._exchange(shard, 0)
        return outcome

    def settled(self) -> bool:
        """Whether nothing is leased and nothing owed: the counter may be forgotten."""
        return self._task is None and not self._leases.leases and all(shard.clean() for shard in self._shards)

    # ------------------------------------------------------------------ telling

    @property
    def remembered(self) -> int:
        """How many buckets are remembered, over all that remembers any: bounded, however long the counter lives."""
        return self._own.remembered + sum(len(shard.pending) for shard in self._shards)

    @property
    def leased(self) -> int:
        """What this instance may spend without asking."""
        return self._leases.balance

    def abandon(self) -> None:
        """Stop at once and write nothing more, as a killed process would."""
        if self._task is not None:
            self._task.cancel()

    def remaining(self) -> Remaining:
        """What is left, as this instance knows: the last state seen, what it has not yet written, its own leases."""
        now = self._clock()
        if now >= self._next_turn:
            self._turn(now)
        seen, balance = self._left(), self._leases.balance
        window = seen.window
        if window is not None:
            window = max(0, window + balance - sum([shard.pending_since(self._oldest) for shard in self._shards]))
        if not seen.quotas:
            return Remaining(window, ())
        owed = [sum(owed) for owed in zip(*(shard.owed for shard in self._shards), strict=True)]
        quotas = [max(0, rest + balance - debt) for rest, debt in zip(seen.quotas, owed, strict=True)]
        return Remaining(window, tuple(quotas))

    def _left(self) -> Remaining:
        """What is left as of the last turn; told with every answer, so worked out only when something has changed."""
        seen_in = (self._shards[self._home].state, self._periods, self._oldest)
        if seen_in != self._seen_in:
            self._seen_in, self._seen = seen_in, left(self.limit, *seen_in)
        return self._seen
