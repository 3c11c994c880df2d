"""`singular`: a noun without its plural s, so that a word is found in either number."""

_KEPT = ("ss", "us", "is", "does")  # "glass", "bus", "this", and what "does" would become


def singular(word: str) -> str:
    """Return an English word without a plural's s; no dictionary, so "glasses" becomes "glasse".

    Args:
        word: In lower case.
    """
    if len(word) > 3 and word.endswith("s") and not word.endswith(_KEPT):
        return word[:-1]
    return word
