"""`Bm25`: which documents say most of what a query asks for.

Okapi BM25 with the logarithm that Lucene takes, which is never negative. All that a term adds to a
document's score is worked out when the index is made, so a search adds up a few arrays.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

K1, B = 1.2, 0.75
"""How soon a repeated term stops counting, and how much long documents are held to account."""


class Bm25:
    """An index over documents, each a sequence of terms.

    Args:
        documents: The documents; their numbers count from 0.
        k1: See `K1`.
        b: See `B`.
    """

    def __init__(self, documents: Iterable[Sequence[str]], *, k1: float = K1, b: float = B) -> None:
        numbers: dict[str, int] = {}
        flat: list[int] = []
        lengths: list[int] = []
        for document in documents:
            flat += [numbers.setdefault(term, len(numbers)) for term in document]
            lengths.append(len(document))
        self._numbers = numbers
        self._count = len(lengths)
        size = np.array(lengths, dtype=np.float64)
        # A term and a document as one number, so that counting pairs is one sort.
        documents_of = np.repeat(np.arange(self._count), lengths)
        pairs, often = np.unique(
            np.array(flat, dtype=np.int64) * self._count + documents_of, return_counts=True
        )
        term, self._documents = np.divmod(pairs, max(self._count, 1))
        found_in = np.bincount(term, minlength=len(numbers))
        self._starts = np.concatenate(([0], np.cumsum(found_in)))
        rare = np.array([math.log1p((self._count - n + 0.5) / (n + 0.5)) for n in found_in])
        norm = k1 * (1 - b + b * size / max(float(size.mean()) if lengths else 0.0, 1e-9))
        tf = often.astype(np.float64)
        self._weights = rare[term] * tf * (k1 + 1) / (tf + norm[self._documents])

    def search(self, query: Iterable[str], count: int) -> list[int]:
        """Return the numbers of the best documents, the best first, of equals the lowest number.

        Args:
            query: Terms; one that comes twice counts twice.
            count: How many at most. Documents without any of the terms are never among them.
        """
        scores = self.scores(query)
        found = np.flatnonzero(scores)
        if len(found) > count:
            worst = np.partition(scores[found], len(found) - count)[len(found) - count]
            found = found[scores[found] >= worst]
        best_first = found[np.argsort(-scores[found], kind="stable")]
        return [int(number) for number in best_first[:count]]

    def scores(self, query: Iterable[str]) -> npt.NDArray[np.float64]:
        """Return each document's score; 0 where it has none of the terms."""
        scores = np.zeros(self._count)
        for term, times in Counter(query).items():
            number = self._numbers.get(term)
            if number is not None:
                postings = slice(self._starts[number], self._starts[number + 1])
                scores[self._documents[postings]] += times * self._weights[postings]
        return scores
