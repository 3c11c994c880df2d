"""The unit of every file of the store: a frame, that is a JSON header and a body, both checked.

    "AGT1" | header length | body length | CRC-32 of the body | CRC-32 of header | header | body

The four numbers are little-endian uint32. The header's checksum covers the three numbers before it
as well, so a header can be trusted, and its body skipped, without reading the body: that is what
makes listing cheap. Frames follow each other without padding. What is not a whole frame is found
out here: a file's end that was being written is `Torn`, bytes that changed are `damaged`.
"""

import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any, cast

from agentgym.errors import StoreError

MAGIC = b"AGT1"
_PREFIX = struct.Struct("<4sIIII")
PREFIX_BYTES = _PREFIX.size
SCHEMA = (1, 0)
"""Major and minor version of what headers and bodies mean. A reader takes any minor version of its
own major: it ignores keys that it doesn't know, and keeps arrays that it doesn't know."""

_MOST_HEADER_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class Prefix:
    """The fixed part of a frame.

    Attributes:
        header_bytes: Length of the header.
        body_bytes: Length of the body.
        body_crc: CRC-32 of the body.
        header_crc: CRC-32 of the three numbers above and the header.
    """

    header_bytes: int
    body_bytes: int
    body_crc: int
    header_crc: int

    @property
    def frame_bytes(self) -> int:
        """Length of the whole frame."""
        return PREFIX_BYTES + self.header_bytes + self.body_bytes


def encode_frame(header: dict[str, Any], body: bytes = b"") -> bytes:
    """Return a frame; the schema version is added to the header.

    Raises:
        StoreError: If the header holds what JSON can't, or a part is too long for its field.
    """
    head = to_json({"schema": ".".join(map(str, SCHEMA)), **header})
    if len(head) > _MOST_HEADER_BYTES or len(body) >= 1 << 32:
        raise StoreError(
            f"A frame's header may have {_MOST_HEADER_BYTES} bytes and its body 4 GiB, "
            f"got {len(head)} and {len(body)}"
        )
    numbers = struct.pack("<III", len(head), len(body), zlib.crc32(body))
    header_crc = zlib.crc32(head, zlib.crc32(numbers))
    return b"".join((MAGIC, numbers, struct.pack("<I", header_crc), head, body))


def decode_prefix(data: bytes) -> Prefix | None:
    """Read the fixed part from the start of `data`; None where no frame can begin like this."""
    if len(data) < PREFIX_BYTES:
        return None
    magic, header_bytes, body_bytes, body_crc, header_crc = _PREFIX.unpack_from(data)
    if magic != MAGIC or header_bytes > _MOST_HEADER_BYTES:
        return None
    return Prefix(header_bytes, body_bytes, body_crc, header_crc)


def decode_header(prefix: Prefix, head: bytes, where: str) -> dict[str, Any] | None:
    """Return a frame's header; None if its bytes are not the ones that were written.

    Args:
        prefix: The frame's fixed part.
        head: The header's bytes.
        where: What is being read, for the error.

    Raises:
        StoreError: If a newer agentgym wrote it, in a format of another major version.
    """
    numbers = struct.pack("<III", prefix.header_bytes, prefix.body_bytes, prefix.body_crc)
    if zlib.crc32(head, zlib.crc32(numbers)) != prefix.header_crc:
        return None
    header = cast("dict[str, Any]", from_json(head))
    major = int(str(header["schema"]).partition(".")[0])
    if major != SCHEMA[0]:
        raise StoreError(
            f"{where} was written in trajectory format {header['schema']}, and this agentgym reads "
            f"format {SCHEMA[0]}.x; run: pip install -U agentgym-suite"
        )
    return header


def to_json(value: object) -> bytes:
    """Return JSON that `from_json` reads back exactly.

    Beyond the standard it keeps what models and tools do produce: NaN and infinities, integers of
    any length, and text with lone surrogates. NumPy scalars become numbers.

    Raises:
        StoreError: If something is no JSON value.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)
    except (TypeError, ValueError) as fault:
        raise StoreError(f"Only JSON values can be stored: {fault}") from None
    return text.encode("utf-8", "surrogatepass")


def from_json(data: bytes | memoryview) -> object:
    """Return what `to_json` was given."""
    return json.loads(bytes(data).decode("utf-8", "surrogatepass"))


def _plain(value: object) -> object:
    # NumPy's scalars say what they are in plain Python; asking them spares importing NumPy's types.
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return cast("Any", value).item()
    raise TypeError(f"{value!r} is a {type(value).__name__}")
