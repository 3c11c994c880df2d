"""Reads and writes the files of a box, among links and pipes that a program may have put there."""

from __future__ import annotations

import os
import shutil
import stat


def read(path: str, most: int) -> bytes:
    """Return what an ordinary file holds.

    Args:
        path: Where it is.
        most: How many bytes it may have.

    Raises:
        OSError: If there is none, or it has more.
    """
    # A pipe must not keep us waiting, nor a link that is put in the last place lead elsewhere.
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        about = os.fstat(file)
        # What is in /proc would be shown to us with more rights than a program has.
        if not stat.S_ISREG(about.st_mode) or about.st_dev == os.stat("/proc").st_dev:
            raise OSError(f"{path} is no ordinary file")
        if about.st_size > most:
            raise OSError(f"{path} has {about.st_size} bytes, more than {most}")
        data = b""
        while len(data) < most:
            part = os.read(file, most - len(data))
            if not part:
                break
            data += part
        return data
    finally:
        os.close(file)


def write(path: str, data: bytes) -> None:
    """Write a file, in the place of what was there; folders on the way are made.

    Args:
        path: Where it is to be.
        data: What it is to hold.

    Raises:
        OSError: If it can't be written; then what was there is there still.
    """
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    part = os.path.join(folder, f".{os.urandom(8).hex()}.part")
    file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]
        os.rename(part, os.path.join(folder, name))
    except OSError:
        os.unlink(part)
        raise
    finally:
        os.close(file)


def empty(folder: str) -> None:
    """Delete all that a folder holds, whoever may read it; nothing else may be at work in it.

    Args:
        folder: Where; it stays.

    Raises:
        OSError: If something can't be deleted.
        RecursionError: If folders lie in each other too deeply.
    """
    for path, names, _ in os.walk(folder, onerror=_raise):
        for name in names:
            inner = os.path.join(path, name)
            if not os.path.islink(inner):
                os.chmod(inner, 0o700)  # before it is looked into
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def _raise(fault: OSError) -> None:
    raise fault
