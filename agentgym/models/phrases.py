"""`fixed_phrases`: the phrases that a text world writes over and over, word for word.

A text world writes from templates: "You arrive at", "is open. In it, you see". The later words of
such a phrase say nothing that the first didn't, yet each costs a position in every forward pass. As
one token each, these phrases leave the names, the numbers and what is asked for.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

Words = tuple[str, ...]

_DIGIT = re.compile("[0-9]")


def fixed_phrases(
    texts: Mapping[Words, int], *, least: int = 30, sure: float = 0.95
) -> dict[str, int]:
    """Return the phrases of more than one word, with how often they occur.

    Neighbours are joined where one of them hardly occurs without the other, and what was joined is
    looked at again, until nothing is left to join. A number is never joined: a name has to be the
    same token with whatever number follows it.

    Args:
        texts: Each text's words, whose concatenation is the text, and how often it occurs.
        least: How often a phrase has to occur.
        sure: The share of the rarer neighbour's occurrences that are beside the other.
    """
    words = {word for text in texts for word in text}
    while pairs := _fixed_pairs(texts, least, sure):
        joined = Counter[Words]()
        for text, count in texts.items():
            joined[_join(text, pairs)] += count
        texts = joined
    return {piece: count for piece, count in word_counts(texts).items() if piece not in words}


def word_counts(texts: Mapping[Words, int]) -> Counter[str]:
    """Return how often each word occurs in texts that occur so often."""
    counts = Counter[str]()
    for words, count in texts.items():
        for word in words:
            counts[word] += count
    return counts


def _fixed_pairs(texts: Mapping[Words, int], least: int, sure: float) -> set[tuple[str, str]]:
    single, double = word_counts(texts), Counter[tuple[str, str]]()
    for words, count in texts.items():
        for pair in pairwise(words):
            double[pair] += count
    return {
        (left, right)
        for (left, right), count in double.items()
        if count >= max(least, sure * min(single[left], single[right]))
        and not _DIGIT.search(left + right)
    }


def _join(words: Sequence[str], wanted: set[tuple[str, str]]) -> Words:
    joined: list[str] = []
    last = None
    for word in words:
        if last is not None and (last, word) in wanted:
            joined[-1] += word
            last = None
        else:
            joined.append(word)
            last = word
    return tuple(joined)
