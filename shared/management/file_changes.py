"""Changes to several files: shown as a diff, or written all together."""

import difflib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileChange:
    """What a file is to say. `before` is None for a file that is not there; a `private` file is never shown."""

    path: Path
    before: str | None
    after: str
    private: bool = False

    @property
    def changes(self) -> bool:
        """Whether anything is to be written at all."""
        return self.before != self.after

    def diff(self, folder: Path) -> str:
        """A unified diff with paths relative to `folder`; one line instead for a private file."""
        name = self.path.relative_to(folder).as_posix() if self.path.is_relative_to(folder) else str(self.path)
        if self.private:
            return f"# {name} changes too (not shown: it has secrets)\n"
        lines = difflib.unified_diff(
            _lines(self.before or ""),
            _lines(self.after),
            f"a/{name}" if self.before is not None else "/dev/null",
            f"b/{name}",
        )
        return "".join(lines)


def read_text(path: Path) -> str | None:
    """A file's text with its line ends as they are; None when there is no such file. OSError, UnicodeDecodeError."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return None


def write_all(changes: Sequence[FileChange]) -> None:
    """Write every change, or none: new texts lie complete beside their targets before the first one is renamed.

    The order of `changes` is the order of the renames, so the file that refers to the others comes last. OSError when
    something cannot be written; what was renamed by then is put back.
    """
    pending = [change for change in changes if change.changes]
    staged: list[tuple[FileChange, Path]] = []
    renamed: list[FileChange] = []
    try:
        for change in pending:
            staged.append((change, _stage(change.path.resolve(), change.after, private=change.private)))
        for change, temporary in staged:
            temporary.replace(change.path.resolve())
            renamed.append(change)
    except BaseException:  # Ctrl-C too
        for change in reversed(renamed):
            _restore(change)
        raise
    finally:
        for _, temporary in staged:
            temporary.unlink(missing_ok=True)


def _stage(target: Path, text: str, *, private: bool) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if target.exists():
        os.chmod(name, target.stat().st_mode & 0o7777)
    elif not private:  # mkstemp makes files only their owner can read
        os.chmod(name, 0o666 & ~_umask())
    return Path(name)


def _restore(change: FileChange) -> None:
    target = change.path.resolve()
    if change.before is None:
        target.unlink(missing_ok=True)
    else:
        _stage(target, change.before, private=change.private).replace(target)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _lines(text: str) -> list[str]:
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n\\ No newline at end of file\n"
    return lines
