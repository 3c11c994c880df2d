import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentgym.envs.alfworld.engine.expression import Entity, evaluate
from agentgym.envs.alfworld.engine.grammar import (
    Call,
    Each,
    QueryAtom,
    Symbol,
    Text,
    Value,
    read_grammar,
    read_query,
    read_symbols,
)
from agentgym.errors import DataError

APPLE = Entity("apple_bar_1", "object", "apple 1")
QUERY = (QueryAtom("on", (("o", "object"), ("r", "shelf"))),)


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("You see {o.name}.", (Text("You see "), Value("o.name"), Text("."))),
        ("#a.b# #c(x)#", (Call("a.b"), Text(" "), Call("c(x)"))),
        ("[{o.name | on(o:object, r:shelf)}]", (Each(Value("o.name "), QUERY, True),)),
        ("{#o# | on(o:object, r:shelf)}", (Each(Call("o"), QUERY, False),)),
        ("\n  Hello\n", (Text("Hello\n"),)),  # white space is lost at the start, and only there
        ("// a note\nHello", (Text("Hello"),)),
        ("{o}\t\tb", (Value("o"), Text("b"))),
        ("put it down; go", (Text("put it down"),)),  # what can't be read cuts the rest off
        ("a [b] c", (Text("a "),)),
        ("(in {r.name})}", (Text("(in "), Value("r.name"), Text(")"))),
        ("", ()),
    ],
)
def test_symbols(text: str, symbols: tuple[Symbol, ...]):
    assert read_symbols(text) == symbols


@pytest.mark.parametrize(
    ("text", "atoms"),
    [
        ("on(o:object, r:shelf)", QUERY),
        (
            " p(x) & !q(x', y:t) ",
            (QueryAtom("p", (("x", "x"),)), QueryAtom("not_q", (("x'", "x"), ("y", "t")))),
        ),
        ("!not_p()", (QueryAtom("p", ()),)),
        ("", ()),
    ],
)
def test_queries(text: str, atoms: tuple[QueryAtom, ...]):
    assert read_query(text) == atoms


@pytest.mark.parametrize("text", ["p(x", "p x", "p(x) | q(x)", "p(x y)"])
def test_a_query_that_makes_no_sense_is_quoted(text: str):
    with pytest.raises(DataError, match="query"):
        read_query(text)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("o", "apple 1"),
        ("o.indefinite + ' ' + o.name", "a apple 1"),
        (" o.noun or o.name", "apple 1"),
        ("o.noun and o.name", "None"),
        ("'some' if o.noun else o.type", "object"),
    ],
)
def test_expressions(source: str, text: str):
    assert evaluate(source, {"o": APPLE}) == text


@pytest.mark.parametrize(
    "source",
    [
        "__import__('os')",
        "o.__class__",
        "o.name.upper()",
        "[o]",
        "o.id * 9",
        "(lambda: 1)()",
        "x",
        "1+",
        "o.noun + 'x'",
    ],
)
def test_expressions_can_not_run_code(source: str):
    with pytest.raises(DataError, match="expression"):
        evaluate(source, {"o": APPLE})


def test_later_rules_replace_earlier_ones():
    grammar = read_grammar(
        'grammar :: """{"a": [{"rhs": "1"}], "b": [{"rhs": "2"}]}""";  # a comment\n'
        'action Go-To { template :: "go"; feedback :: "#a#"; grammar :: """\n'
        '  # another\n  {"a": [{"condition": "p(x:t)", "rhs": "3"}]}""";  }'
    )
    assert list(grammar.templates) == ["go-to"]
    assert [rule.body for rule in grammar.rules["a"]] == [(Text("3"),)]
    assert grammar.rules["a"][0].condition == read_query("p(x:t)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('action go { template :: "go"; }', "no feedback"),
        ('action go { template :: "go"; feedback :: "x";', "never closed"),
        ('grammar :: """{"a": 1}""";', "'a' must be a list"),
        ('grammar :: """[1]""";', "JSON object"),
        ('grammar :: """{""";', "not JSON"),
        ("nonsense", "out of place at line 1"),
        ('\n\n"loose"', "line 3"),
    ],
)
def test_a_wrong_grammar_says_where(text: str, message: str):
    with pytest.raises(DataError, match=message):
        read_grammar(text)


PIECES = st.sampled_from(
    [
        *'ab "#{}[]|;<>\t\n\\',
        "{r.name}",
        "#x.y#",
        "[{o | p(o:t)}]",
        "{#f(o)# | q(o:t)}",
        "//c",
        "é",
        "\u2003",
    ]
)


@pytest.mark.integration
@settings(max_examples=500, deadline=None)
@given(st.lists(PIECES, max_size=8).map("".join))
def test_symbols_are_textworlds(text: str):
    from textworld.envs.pddl import textgen

    def theirs(symbol: object) -> Symbol:
        match symbol:
            case textgen.TerminalSymbol():
                return Text(symbol.symbol)
            case textgen.NonterminalSymbol():
                return Call(symbol.symbol)
            case textgen.EvalSymbol():
                return Value(symbol.expression)
            case textgen.ListSymbol():
                inner = theirs(symbol.symbol)
                return inner if isinstance(inner, Value) else Each(inner.body, inner.query, True)
            case _:
                body = theirs(symbol.expression)
                return Each(body, read_query(symbol.given), False) if symbol.given else body

    def plain(symbol: Symbol) -> Symbol:
        return symbol.body if isinstance(symbol, Each) and not symbol.query else symbol

    try:
        ours = read_symbols(text)
    except DataError:
        return  # the query is not one, which TextWorld finds out when it is asked
    parsed = [theirs(symbol) for symbol in textgen._parse_and_convert(text, rule_name="symbols")]
    assert [plain(symbol) for symbol in ours] == [symbol for symbol in parsed if symbol != Text("")]
