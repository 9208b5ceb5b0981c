"""Makes the tokenizer tables in shared/llm/encodings: `python -m tests.support.encoding_tables`.

tiktoken downloads its tables on first use; a function app must not. The ranks come from the npm package js-tiktoken,
are written as the files tiktoken would have downloaded, and tiktoken itself checks them against its published hashes.
"""

import base64
import hashlib
import json
import os
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

from shared.llm.encodings import EncodingName, pack
from tests.support.processes import ROOT

PACKAGE = "js-tiktoken@1.0.21"
NAMES: tuple[EncodingName, ...] = ("o200k_base", "cl100k_base")
URL = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"


def file_in_cache(folder: Path, name: str) -> Path:
    """Where tiktoken looks for the table of that name when TIKTOKEN_CACHE_DIR is `folder`."""
    return folder / hashlib.sha1(URL.format(name).encode()).hexdigest()


def tiktoken_file(ranks: dict[bytes, int]) -> bytes:
    """A table as tiktoken's own file has it."""
    by_rank = sorted(ranks.items(), key=lambda item: item[1])
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in by_rank)


def ranks_of(script: str) -> dict[bytes, int]:
    """The ranks in a module of js-tiktoken: lines of `! <first rank> <token> <token> ...`, tokens in base64."""
    found = re.search(r'bpe_ranks":\s*("(?:[^"\\]|\\.)*")', script)
    if found is None:
        raise ValueError("the module has no bpe_ranks")
    ranks: dict[bytes, int] = {}
    for line in json.loads(found[1]).splitlines():
        _, first, *tokens = line.split(" ")
        ranks |= {base64.b64decode(token): int(first) + at for at, token in enumerate(tokens)}
    return ranks


def main() -> None:
    """Download, check, pack."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        packed = subprocess.run(["npm", "pack", PACKAGE], cwd=folder, check=True, capture_output=True, text=True)
        with tarfile.open(folder / packed.stdout.strip()) as archive:
            archive.extractall(folder, filter="data")
        os.environ["TIKTOKEN_CACHE_DIR"] = name
        import tiktoken

        for encoding_name in NAMES:
            ranks = ranks_of((folder / f"package/dist/ranks/{encoding_name}.js").read_text())
            file_in_cache(folder, encoding_name).write_bytes(tiktoken_file(ranks))
            pattern = tiktoken.get_encoding(encoding_name)._pat_str  # fails unless the hash is the published one
            target = ROOT / f"shared/llm/encodings/{encoding_name}.xz"
            target.write_bytes(pack(pattern, sorted(ranks, key=ranks.__getitem__)))
            print(f"{target.relative_to(ROOT)}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
