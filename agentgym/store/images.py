"""Images by content hash, in pack files beside the segments.

A screenshot that did not change is stored once per writer, however many turns it came with. A pack
is a file of frames like any other: the header has the hash, shape and dtype, the body the pixels
under zstd, so an image comes back exactly. `png` makes of an image what browsers and data sets
read.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from agentgym.env import Image
from agentgym.errors import StoreError
from agentgym.store.frame import encode_frame
from agentgym.store.open_files import OpenFiles
from agentgym.store.segment import PACK, Damage, Located, SegmentReader


def image_hash(image: Image) -> str:
    """Return the content hash of an image: BLAKE2b with 16 bytes over dtype, shape and pixels."""
    digest = hashlib.blake2b(f"{image.dtype.str}{image.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def encode_image(digest: str, image: Image, level: int) -> bytes:
    """Return an image's frame.

    Args:
        digest: Its content hash.
        image: (H, W, 3) uint8.
        level: zstd's level.
    """
    import zstandard

    body = zstandard.ZstdCompressor(level=level).compress(np.ascontiguousarray(image).data)
    shape = list(image.shape)
    return encode_frame(
        {"kind": "image", "hash": digest, "shape": shape, "dtype": image.dtype.str}, body
    )


def png(image: Image) -> bytes:
    """Return an (H, W, 3) uint8 image as a PNG file.

    Raises:
        StoreError: If it has another shape or type.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise StoreError(f"An image has shape (H, W, 3) and is uint8, got {image.shape}")
    height, width, _ = image.shape
    # Each row begins with its filter; 2 stores the difference from the row above, which is zero
    # over most of a screen.
    rows = np.empty((height, 1 + 3 * width), np.uint8)
    rows[:, 0] = 2
    flat = image.reshape(height, -1)
    rows[:1, 1:] = flat[:1]
    rows[1:, 1:] = flat[1:] - flat[:-1]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


class ImagePacks(Mapping[str, Image]):
    """The images of a folder's packs, by content hash; read when asked for.

    Args:
        folder: The folder.
        files: What reads them.
    """

    def __init__(self, folder: Path, files: OpenFiles) -> None:
        self._folder = folder
        self._files = files
        self._packs: dict[str, SegmentReader] = {}
        self._found: dict[str, Located] = {}

    @property
    def damage(self) -> list[Damage]:
        """What could not be read."""
        return [damage for pack in self._packs.values() for damage in pack.damage]

    def refresh(self) -> None:
        """Find the images that were added since."""
        for path in sorted(self._folder.glob(f"*{PACK}")):
            pack = self._packs.setdefault(path.name, SegmentReader(path, self._files))
            for frame in pack.scan():
                if frame.header["kind"] == "image":
                    self._found.setdefault(frame.header["hash"], frame)

    def __getitem__(self, digest: str) -> Image:
        import zstandard

        if digest not in self._found:
            self.refresh()
        frame = self._found.get(digest)
        if frame is None:
            raise StoreError(f"{self._folder} has no image {digest}; its pack file is missing")
        pixels = bytearray(zstandard.ZstdDecompressor().decompress(frame.body()))
        dtype: np.dtype[np.uint8] = np.dtype(frame.header["dtype"])
        return np.frombuffer(pixels, dtype).reshape(frame.header["shape"])

    def __iter__(self) -> Iterator[str]:
        self.refresh()
        return iter(list(self._found))

    def __len__(self) -> int:
        self.refresh()
        return len(self._found)
