"""Seeds that depend on what they are for and on nothing else."""

import hashlib


def stable_seed(*parts: int | str | None) -> int:
    """Return a seed below 2**56 that depends on the parts alone; equal in every process and run."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")
