"""What images in a prompt cost: OpenAI's tiles and patches, Anthropic's area; sizes out of PNG, JPEG, GIF and WebP."""

import base64
import binascii
import struct
from collections.abc import Mapping
from math import ceil, sqrt
from typing import Any

from shared.llm.model_names import base_name

UNKNOWN = 1_200
"""An image whose size cannot be told, such as one behind a URL: the most API Management counts for one.
https://learn.microsoft.com/azure/api-management/llm-token-limit-policy#usage-notes"""

# https://platform.openai.com/docs/guides/images-vision#calculating-costs: (base, per tile of 512 pixels).
_TILES = (
    ("gpt-4o-mini", 2833, 5667),
    ("gpt-5", 70, 140),
    ("computer-use-preview", 65, 129),
    ("o1", 75, 150),
    ("o3", 75, 150),
    ("", 85, 170),
)
# The same page: patches of 32 pixels, at most 1,536, times a factor by model.
_PATCHES = (
    ("gpt-5-mini", 1.62),
    ("gpt-5-nano", 2.46),
    ("gpt-4.1-mini", 1.62),
    ("gpt-4.1-nano", 2.46),
    ("o4-mini", 1.72),
)
_MOST_PATCHES = 1_536
_HEAD = 65_536  # bytes of an image in which its size stands


def openai_image(url: str, detail: str, model: str) -> int:
    """Tokens of an image part of chat completions or Responses. `url` may be a data URL, which tells the size."""
    size, name = _data_url_size(url), base_name(model)
    for prefix, factor in _PATCHES:
        if name.startswith(prefix):
            return UNKNOWN if size is None else ceil(_patches(*size) * factor)
    base, tile = next((base, tile) for prefix, base, tile in _TILES if name.startswith(prefix))
    if detail == "low":
        return base
    return UNKNOWN if size is None else base + tile * _tiles(*size)


def anthropic_image(source: Mapping[str, Any]) -> int:
    """Tokens of an image block: its area by 750, after it was fitted into 1,568 pixels.

    https://docs.anthropic.com/en/docs/build-with-claude/vision#calculate-image-costs
    """
    data = source.get("data")
    size = _base64_size(data) if isinstance(data, str) else None
    if size is None:
        return UNKNOWN
    scale = min(1.0, 1_568 / max(size))
    return min(1_600, ceil(size[0] * scale * size[1] * scale / 750))


def _tiles(width: int, height: int) -> int:
    """Fitted into 2,048 pixels, then to 768 on the shorter side, then cut into tiles of 512."""
    scale = min(1.0, 2048 / max(width, height))
    scale *= min(1.0, 768 / (min(width, height) * scale))
    return ceil(round(width * scale) / 512) * ceil(round(height * scale) / 512)


def _patches(width: int, height: int) -> int:
    patches = ceil(width / 32) * ceil(height / 32)
    if patches <= _MOST_PATCHES:
        return patches
    # Shrunk so that the patches fit, then a little more so that whole patches do.
    scale = sqrt(32 * 32 * _MOST_PATCHES / (width * height))
    across, down = width * scale / 32, height * scale / 32
    scale *= min(int(across) / across, int(down) / down)
    return min(_MOST_PATCHES, ceil(round(width * scale) / 32) * ceil(round(height * scale) / 32))


def _data_url_size(url: str) -> tuple[int, int] | None:
    head, separator, data = url[:200].partition(";base64,")
    return _base64_size(url[len(head) + len(separator) :]) if separator and head.startswith("data:") else None


def _base64_size(data: str) -> tuple[int, int] | None:
    whole = data[: _HEAD // 3 * 4]
    try:
        return image_size(base64.b64decode(whole[: len(whole) // 4 * 4]))
    except binascii.Error:
        return None


def image_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels out of the beginning of an image file; None when it does not tell."""
    size: tuple[int, int] | None = None
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        size = struct.unpack(">II", data[16:24])
    elif data.startswith((b"GIF87a", b"GIF89a")) and len(data) >= 10:
        size = struct.unpack("<HH", data[6:10])
    elif data.startswith(b"\xff\xd8"):
        size = _jpeg_size(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP" and len(data) >= 30:
        size = _webp_size(data)
    return size if size is not None and min(size) > 0 else None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a start of frame
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    match data[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
        case b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            width, height = struct.unpack("<HH", data[26:30])
            return width & 0x3FFF, height & 0x3FFF
    return None
