"""What a question says, whatever words it is dressed in.

`core` takes off what carries no meaning ("ok, could you tell me if it is usually a kind of …"), so
that a table of questions, written as people write them, is found by any question that says the
same. A rule knows less English than a language model, and costs microseconds.
"""

import re
import unicodedata
from functools import lru_cache

from agentgym.envs.plurals import singular

_NOT_WORDS = re.compile(r"[^a-z0-9.]+|\.(?!\d)")
_CONTRACTIONS = re.compile(r"\b(it|that|what|where|which)['\u2019]s\b")

# Said before the question itself.
_OPENING = re.compile(
    r"(?:(?:so|ok|okay|hm+|well|then|now|and|please|yes|no|alright|great|good|thanks|thank you"
    r"|i think|i guess|my guess is|let me guess|final guess|question"
    r"|(?:could|can|would) you tell me|tell me|i (?:want|would like) to know|do you know"
    r"|if|whether) )+"
)
_SUBJECT = re.compile(
    r"(?:(?:the|this|that|your) (?:object|thing|item|word|city|place|town|one|answer)"
    r"(?: you are thinking of)?|this|that|they)\b"
)
_EMPTY = re.compile(
    r"(?:a|an|the|some|any|usually|typically|generally|commonly|often|normally|mostly|mainly|really"
    r"|actually|very|quite|just|also|ever|considered|classified|usual|typical|common)"
)
_KIND_OF = re.compile(r"\b(?:kind|type|sort|form|piece|example|member) of\b")
_STATEMENT = re.compile(r"^it (is|has|can|does|was)\b")


# A name by itself, or in a question that it could be the answer to: "could it be dog".
_GUESS = re.compile(r"(?:(?:is|was|can|could|might|would) it (?:be )?)?(?:called |named )?(.+)")

_LONGEST = 200  # characters; longer ones are no questions, and would fill the cache


def core(question: str) -> str:
    """Return the words of a question that carry its meaning: "is it animal", "can it fly".

    Nothing is left of what is longer than 200 characters. Else it is in lower case, without accents
    and punctuation, with the thing asked about as "it" and nouns without a plural s. Two questions
    that say the same in other words may have different cores; the other way round, a question means
    what every other one of its core means.
    """
    return _core(question) if len(question) <= _LONGEST else ""


def guessed(meant: str) -> str:
    """Return the core of the name that a question asks for, if it asks for one: its last words.

    Args:
        meant: The question's core.
    """
    match = _GUESS.fullmatch(meant)
    return match[1] if match else ""


@lru_cache(maxsize=65536)
def _core(question: str) -> str:
    decomposed = unicodedata.normalize("NFKD", question.lower())
    text = "".join(char for char in decomposed if not unicodedata.combining(char))
    text = _CONTRACTIONS.sub(r"\1 is", text)
    text = " ".join(_NOT_WORDS.sub(" ", text).split())
    opening = _OPENING.match(text + " ")
    text = text[opening.end() :] if opening else text
    text = _SUBJECT.sub("it", text)
    text = _KIND_OF.sub("", text)
    text = _STATEMENT.sub(r"\1 it", text, count=1)
    return " ".join(singular(word) for word in text.split() if not _EMPTY.fullmatch(word))
