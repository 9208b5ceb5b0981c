"""What the commands say to a terminal: a table of rows, and one line when they fail."""

from collections.abc import Sequence


class CommandFailed(Exception):
    """Ends the command with one line on stderr and an exit status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def in_columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows, the header among them, as lines with their cells in columns."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)
