"""What has been said in the log and need not be said again with every request."""

# What is told names things callers can choose, such as models: the oldest is forgotten when there are many.
_KEPT = 1_024


class Told(dict[str, None]):
    """Things told in this process."""

    def first(self, what: str) -> bool:
        """Whether `what` is to be told: it has not been yet."""
        if what in self:
            return False
        if len(self) >= _KEPT:
            del self[next(iter(self))]
        self[what] = None
        return True
