"""The tokenizer encodings that come with the gateway: which model has which, and how a table becomes a tokenizer.

The rank tables are OpenAI's (MIT licence, see LICENSE beside them); `tests/support/encoding_tables.py` packed them and
proves them by the hashes `tiktoken` publishes.
"""

from typing import TYPE_CHECKING, Literal

from shared.llm.model_names import base_name

if TYPE_CHECKING:
    from tiktoken import Encoding

EncodingName = Literal["o200k_base", "cl100k_base"]

# https://github.com/openai/tiktoken/blob/main/tiktoken/model.py; deployments on Azure are often named after the model.
# What is unknown gets the newest: its counts are an estimate whatever the table.
_OLDER_MODELS = ("gpt-4-", "gpt-3.5", "gpt-35", "text-embedding", "davinci-002", "babbage-002")


def encoding_of(model: str) -> EncodingName:
    """The encoding of a model or of a deployment that is named after one."""
    name = base_name(model)
    return "cl100k_base" if name == "gpt-4" or name.startswith(_OLDER_MODELS) else "o200k_base"


def pack(pattern: str, tokens: list[bytes]) -> bytes:
    """A table as a file: the pattern that splits text, the lengths of the tokens by rank (a byte each), the tokens."""
    import lzma

    head = pattern.encode()
    data = len(head).to_bytes(4) + head + len(tokens).to_bytes(4) + bytes(map(len, tokens)) + b"".join(tokens)
    return lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)


def unpack(file: bytes) -> tuple[str, dict[bytes, int]]:
    """Pattern and ranks by token of a packed table. lzma.LZMAError when the file is damaged (it has a checksum)."""
    import lzma

    data = lzma.decompress(file)
    start = 4 + int.from_bytes(data[:4])
    pattern = data[4:start].decode()
    count = int.from_bytes(data[start : start + 4])
    lengths = data[start + 4 : start + 4 + count]
    ranks = {}
    at = start + 4 + count
    for rank, length in enumerate(lengths):
        ranks[data[at : at + length]] = rank
        at += length
    return pattern, ranks


def tokenizer(name: EncodingName, file: bytes) -> "Encoding":
    """The tokenizer of a packed table. Takes some hundred milliseconds: not for the event loop."""
    import tiktoken

    pattern, ranks = unpack(file)
    # Without special tokens: `<|endoftext|>` in a prompt is text, as it is for the providers.
    encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    # It counts with a copy of its own; 200,000 small objects less leave the memory of requests in one piece.
    ranks.clear()
    return encoding
