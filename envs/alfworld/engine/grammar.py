"""Read a .twl2 grammar: what commands look like and what the game says.

A grammar gives each action a command template and a feedback symbol, and each symbol production
rules. A rule's text mixes plain text, `#calls#` of other symbols, `{expressions}` over bound
variables, and `[{…|query}]` lists, where a conjunctive query over the facts says what to list.
TextWorld's reader has habits that show in the text, and they are kept: white space at the start of
a rule is dropped, tabs between symbols are dropped, and a rule that can't be read to its end is cut
there without a word.
"""

import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from agentgym.errors import DataError

Placeholder = tuple[str, str]
"""A variable of a query: its name and its type. Both together say which variable it is."""


@dataclass(frozen=True, slots=True)
class QueryAtom:
    """A predicate over placeholders; `not_` in front of it asks for facts that were undone."""

    predicate: str
    placeholders: tuple[Placeholder, ...]


Query = tuple[QueryAtom, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """`#symbol#`: the text of another symbol."""

    symbol: str


@dataclass(frozen=True, slots=True)
class Value:
    """`{expression}`: a string made of bound variables."""

    source: str


@dataclass(frozen=True, slots=True)
class Each:
    """`{body | query}`: the body once per answer; `listed` joins them with commas and 'and'."""

    body: Call | Value
    query: Query
    listed: bool


Symbol = Text | Call | Value | Each


@dataclass(frozen=True, slots=True)
class Rule:
    """One way to write a symbol; the first rule whose condition has an answer is taken."""

    condition: Query
    body: tuple[Symbol, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """How an action is called and what is said after it."""

    command: tuple[Symbol, ...]
    feedback: tuple[Symbol, ...]


@dataclass(frozen=True, slots=True)
class Grammar:
    """A grammar as written."""

    templates: Mapping[str, Template]
    rules: Mapping[str, tuple[Rule, ...]]


_SKIP = re.compile(r"^(?://.*|\s+)\n?|\t+", re.MULTILINE)
_LITERAL = re.compile(r'[^;|"<>\[\]#{}]*')
_TAG = re.compile(r"[\w()/!<>\-\s,.]+")
_STATEMENT = re.compile(r"[^|\[\]{}\n<>]+")
_BAR = re.compile(r"\s*\|\s*")
_GIVEN = re.compile(r"[^;|{}\n\[\]#]+")


class _Reader:
    """Reads the symbols of one rule; every method returns None and stays put where it can't."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def skip(self) -> None:
        while (match := _SKIP.match(self.text, self.at)) and match.end() > self.at:
            self.at = match.end()

    def token(self, char: str) -> bool:
        self.skip()
        found = self.text.startswith(char, self.at)
        self.at += found
        return found

    def match(self, pattern: re.Pattern[str]) -> str | None:
        match = pattern.match(self.text, self.at)
        if match is None:
            return None
        self.at = match.end()
        return match.group()

    def call(self) -> Call | None:
        start = self.at
        if self.token("#"):
            self.skip()
            tag = self.match(_TAG)
            if tag is not None and self.token("#"):
                return Call(tag)
        self.at = start
        return None

    def braces(self, listed: bool) -> Each | Value | None:
        start = self.at
        self.skip()
        if self.token("{"):
            self.skip()
            body = self.call() or self.statement()
            if body is not None:
                query = self.given()
                if self.token("}"):
                    if listed or query or isinstance(body, Call):
                        return Each(body, query, listed)
                    return body
        self.at = start
        return None

    def statement(self) -> Value | None:
        self.skip()
        source = self.match(_STATEMENT)
        return None if source is None else Value(source)

    def given(self) -> Query:
        start = self.at
        if self.match(_BAR) is not None:
            self.skip()
            query = self.match(_GIVEN)
            if query is not None:
                return read_query(query)
        self.at = start
        return ()

    def brackets(self) -> Symbol | None:
        start = self.at
        if self.token("["):
            inside = self.braces(listed=True)
            if inside is not None and self.token("]"):
                return inside
        self.at = start
        return None

    def plain(self) -> Text:
        start = self.at
        if self.token('"'):
            literal = self.match(_LITERAL) or ""
            if self.token('"'):
                return Text(literal)
        self.at = start
        self.skip()
        return Text(self.match(_LITERAL) or "")

    def symbols(self) -> tuple[Symbol, ...]:
        result: list[Symbol] = []
        while True:
            start = self.at
            symbol = self.brackets() or self.braces(listed=False) or self.call() or self.plain()
            if self.at == start:
                return tuple(result)
            if symbol != Text(""):
                result.append(symbol)


@lru_cache(maxsize=4096)
def read_symbols(text: str) -> tuple[Symbol, ...]:
    """Read the text of a rule or of a template."""
    return _Reader(text).symbols()


_ATOM = re.compile(r"\s*(!?)([\w/]+)\s*\(([^()]*)\)\s*(&|$)")
_PLACEHOLDER = re.compile(r"\s*([\w']+)\s*(?::\s*([\w/-]+)\s*)?$")


@lru_cache(maxsize=1024)
def read_query(text: str) -> Query:
    """Read `predicate(name:type, …) & …`; an empty text is the query with one empty answer."""
    if not text.strip():
        return ()
    atoms: list[QueryAtom] = []
    at = 0
    while at < len(text):
        match = _ATOM.match(text, at)
        if match is None:
            raise DataError(f"the grammar's query {text!r} can't be read at {text[at : at + 20]!r}")
        negated, predicate, arguments, more = match.groups()
        placeholders: list[Placeholder] = []
        for argument in arguments.split(",") if arguments.strip() else ():
            found = _PLACEHOLDER.match(argument)
            if found is None:
                raise DataError(f"the grammar's query {text!r} has no placeholder in {argument!r}")
            name, type_ = found.groups()
            placeholders.append((name, type_ or name.rstrip("'")))
        if negated:
            predicate = predicate[4:] if predicate.startswith("not_") else f"not_{predicate}"
        atoms.append(QueryAtom(predicate, tuple(placeholders)))
        at = match.end()
        if not more:
            break
    return tuple(atoms)


_PIECE = re.compile(
    r"\s+|\#[^\n]*|(?P<action>action)\b|(?P<key>template|feedback|pddl|grammar)\s*::\s*"
    r'(?P<value>"""(?:.|\n)*?"""|"[^"]*")\s*;|(?P<open>\{)|(?P<close>\})|(?P<name>[\w/-]+)'
)


def read_grammar(text: str) -> Grammar:
    """Read a .twl2 file.

    Raises:
        DataError: The text is not a grammar; the message quotes the place.
    """
    templates: dict[str, Template] = {}
    raw: dict[str, Any] = {}
    name: str | None = None
    fields: dict[str, str] = {}
    at = 0
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            line = text.count("\n", 0, at) + 1
            raise DataError(f"the grammar can't be read at line {line}: {text[at : at + 40]!r}")
        at = piece.end()
        if piece["action"] and name is None:
            name = ""
        elif piece["name"] and name == "":
            name, fields = piece["name"], {}
        elif piece["key"] and name is None and piece["key"] == "grammar":
            raw.update(_block(piece["value"], "the grammar", comments=False))
        elif piece["key"] and name:
            fields[piece["key"]] = piece["value"]
        elif piece["close"] and name:
            missing = [key for key in ("template", "feedback") if key not in fields]
            if missing:
                raise DataError(f"the grammar's action {name} has no {' and no '.join(missing)}")
            templates[name.lower()] = Template(
                read_symbols(fields["template"][1:-1]), read_symbols(fields["feedback"][1:-1])
            )
            if "grammar" in fields:
                raw.update(_block(fields["grammar"], f"action {name}", comments=True))
            name = None
        elif piece["name"] or piece["key"] or piece["close"] or (piece["open"] and not name):
            line = text.count("\n", 0, piece.start()) + 1
            raise DataError(f"the grammar has {piece.group()[:40]!r} out of place at line {line}")
    if name is not None:
        raise DataError(f"the grammar's action {name} is never closed")
    return Grammar(templates, {symbol: _rules(symbol, rules) for symbol, rules in raw.items()})


def _block(quoted: str, where: str, comments: bool) -> dict[str, Any]:
    text = textwrap.dedent(quoted[3:-3])
    if comments:
        text = "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("#"))
    try:
        block = json.loads(text)
    except ValueError as error:
        raise DataError(f"the rules of {where} are not JSON: {error}") from None
    if not isinstance(block, dict):
        raise DataError(f"the rules of {where} must be a JSON object of symbol: rules")
    return block  # pyright: ignore[reportUnknownVariableType]


def _rules(symbol: str, rules: Any) -> tuple[Rule, ...]:
    try:
        return tuple(
            Rule(read_query(rule.get("condition", "")), read_symbols(rule["rhs"])) for rule in rules
        )
    except (KeyError, TypeError, AttributeError):
        raise DataError(
            f"the grammar's symbol {symbol!r} must be a list of {{'rhs': …, 'condition': …}}"
        ) from None
