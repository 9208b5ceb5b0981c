"""The amounts an instance has leased from a counter and may spend without asking: a few, earliest end first."""

from collections.abc import Iterator


class Lease:
    """Charged in ``bucket`` of shard ``shard`` and in ``periods``; what is left at ``until`` goes back."""

    __slots__ = ("age", "balance", "bucket", "periods", "shard", "until")

    def __init__(
        self, shard: int, bucket: int, until: float, balance: int, *, age: int, periods: tuple[int, ...]
    ) -> None:
        self.shard = shard
        self.bucket = bucket
        self.until = until
        self.balance = balance
        self.age = age
        self.periods = periods


class LeaseBook:
    """All leases of a counter; ``balance`` is their sum and ``first_end`` the time the earliest ends."""

    __slots__ = ("balance", "first_end", "leases")

    def __init__(self) -> None:
        self.leases: list[Lease] = []
        self.balance = 0
        self.first_end = float("inf")

    def add(self, lease: Lease) -> None:
        self.leases.append(lease)
        self.leases.sort(key=lambda each: each.until)
        self.balance += lease.balance
        self.first_end = self.leases[0].until

    def take(self, amount: int) -> Iterator[tuple[Lease, int]]:
        """Take up to ``amount``, from those that end first; yields each lease with what was taken from it."""
        leases = self.leases
        while amount > 0 and leases:
            lease = leases[0]
            taken = min(amount, lease.balance)
            lease.balance -= taken
            self.balance -= taken
            amount -= taken
            if not lease.balance:
                del leases[0]
            yield lease, taken
        self.first_end = leases[0].until if leases else float("inf")

    def ended(self, now: float) -> list[Lease]:
        """Remove and return the leases whose time is over."""
        return self._remove([lease for lease in self.leases if lease.until <= now])

    def of_shard(self, shard: int) -> list[Lease]:
        """Remove and return the leases from one shard."""
        return self._remove([lease for lease in self.leases if lease.shard == shard])

    def _remove(self, gone: list[Lease]) -> list[Lease]:
        if gone:
            self.leases = [lease for lease in self.leases if lease not in gone]
            self.balance = sum(lease.balance for lease in self.leases)
            self.first_end = self.leases[0].until if self.leases else float("inf")
        return gone
