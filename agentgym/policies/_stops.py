"""Stop strings, found in ids.

Decoding a whole completion after every id would cost more than a small model's forward pass. A stop
string can only be completed by an id whose own text holds the string's last character (or is part
of a character), so a table over the vocabulary says after which ids it is worth looking.
"""

import numpy as np
import numpy.typing as npt

from agentgym.chat_template import ChatTemplate, Ids


class StopStrings:
    """Finds where stop strings end.

    Args:
        template: Decodes ids.
        vocabulary: How many ids there are.
    """

    def __init__(self, template: ChatTemplate, vocabulary: int) -> None:
        self._template = template
        self._vocabulary = vocabulary
        self._texts: list[str] | None = None
        self._tables: dict[str, npt.NDArray[np.bool_]] = {}

    def may_complete(self, token: int, stops: tuple[str, ...]) -> bool:
        """Whether the id can be the last of one of the strings."""
        return any(self._table(stop)[token] for stop in stops)

    def cut(self, ids: Ids, stops: tuple[str, ...]) -> str | None:
        """Return the ids' text up to the end of its first stop string; None if it has none."""
        text = self._template.decode(ids)
        ends = [at + len(stop) for stop in stops if (at := text.find(stop)) >= 0]
        return text[: min(ends)] if ends else None

    def _table(self, stop: str) -> npt.NDArray[np.bool_]:
        if stop not in self._tables:
            last = stop[-1]
            if last.isspace():  # a tokenizer may hide the spaces of an id that stands alone
                table = np.ones(self._vocabulary, np.bool_)
            else:
                table = np.array([last in text or "\ufffd" in text for text in self._all_texts()])
            self._tables[stop] = table
        return self._tables[stop]

    def _all_texts(self) -> list[str]:
        if self._texts is None:
            ids = np.arange(self._vocabulary, dtype=np.int32)[:, None]
            self._texts = [self._template.decode(one) for one in ids]
        return self._texts
