"""Generated problems: fixed, apart, and right."""

import pytest

import agentgym
from agentgym.envs.code.families import FAMILIES, TINY_FAMILIES, Level
from agentgym.envs.code.problems import GeneratedProblems, Split, generate
from agentgym.errors import UnknownNameError, UsageError

CASES = [
    (family, level)
    for family in FAMILIES
    for level in Level
    if level is not Level.TINY or family in TINY_FAMILIES
]


@pytest.mark.parametrize(("family", "level"), CASES)
def test_code_and_answer_agree(
    family: str, level: Level, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(10):
        problem = generate(Split.TRAIN, level, family, number)
        exec(problem.code, {})  # our own code; in the environment it runs in the sandbox
        assert capsys.readouterr().out == problem.answer + "\n"


@pytest.mark.parametrize(("family", "level"), CASES)
def test_problems_of_a_family_differ_and_splits_share_none(family: str, level: Level) -> None:
    train, test = (
        {generate(split, level, family, number).question for number in range(40)}
        for split in (Split.TRAIN, Split.TEST)
    )
    assert min(len(train), len(test)) > 35
    assert not train & test


def test_levels_are_graded() -> None:
    for family in FAMILIES:
        sizes = [
            sum(len(generate(Split.TRAIN, level, family, n).answer) for n in range(20))
            for level in (Level.EASY, Level.HARD)
        ]
        lengths = [
            sum(len(generate(Split.TRAIN, level, family, n).question) for n in range(20))
            for level in (Level.EASY, Level.HARD)
        ]
        assert any(easy < hard for easy, hard in (sizes, lengths)), family


def test_a_task_stays_what_it_is() -> None:
    tasks = GeneratedProblems("train", "tiny")
    assert tasks[0].id == "tiny/train/arithmetic/0"
    assert (tasks[0].goal, tasks[0].truth) == ("332 * 372 + 929 = ?", "124433")
    alone = GeneratedProblems("train", "tiny", ["modular"])
    assert tasks[1] == alone[0]
    for index in (0, 1, 17, 999):
        assert tasks.find(tasks[index].id) == index


def test_ids_that_there_are_not_are_unknown() -> None:
    tasks = GeneratedProblems("train", "tiny", count=4)
    for task_id in ("", "tiny/train/arithmetic/2", "tiny/test/arithmetic/0", "easy/train/linear/0"):
        with pytest.raises(UnknownNameError, match="tiny/train/"):
            tasks.find(task_id)


def test_levels_by_number_and_counts() -> None:
    assert GeneratedProblems(level=4).level is Level.HARD
    assert len(GeneratedProblems()) == 10_000
    assert len(GeneratedProblems("test")) == 1_000
    for wrong in ({"count": 0}, {"families": []}, {"level": 1, "families": ["linear"]}):
        with pytest.raises(UsageError):
            GeneratedProblems(**wrong)  # pyright: ignore[reportArgumentType]
    for wrong in ({"level": "hrad"}, {"level": 5}, {"split": "dev"}, {"families": ["algebra"]}):
        with pytest.raises(UnknownNameError):
            GeneratedProblems(**wrong)  # pyright: ignore[reportArgumentType]


@pytest.mark.integration
def test_sympy_agrees() -> None:
    """The questions' texts, read by another's hand."""
    import re

    sympy = pytest.importorskip("sympy")
    parse = sympy.parsing.sympy_parser
    steps = (
        *parse.standard_transformations,
        parse.implicit_multiplication_application,
        parse.convert_xor,
    )

    def read(text: str) -> object:
        return parse.parse_expr(text, transformations=steps)

    x = sympy.Symbol("x")
    for level in (Level.EASY, Level.MEDIUM, Level.HARD):
        for number in range(5):
            problem = generate(Split.TEST, level, "integral", number)
            found = re.match(
                r"What is the integral of (.+) from x = (\S+) to x = (\S+),", problem.question
            )
            assert found is not None
            value = sympy.integrate(read(found[1]), (x, int(found[2]), int(found[3])))
            assert str(value) == problem.answer

            problem = generate(Split.TEST, level, "linear", number)
            given, _, wanted = problem.question.partition(", what is ")
            sides = [one.split(" = ") for one in given.removeprefix("Given ").split(", ")]
            (solution,) = sympy.linsolve(
                [read(a) - read(b) for a, b in sides], *sympy.symbols("a:e")[: len(sides)]
            )  # pyright: ignore
            values = dict(zip(sympy.symbols("a:e"), solution, strict=False))
            assert str(read(wanted.rstrip("?")).subs(values)) == problem.answer  # pyright: ignore

            problem = generate(Split.TEST, level, "polynomial", number)
            if level is Level.EASY:
                found = re.match(r"What is (.+) at x = (\d+)\?", problem.question)
                assert found is not None
                value = read(found[1]).subs(x, int(found[2]))  # pyright: ignore
            else:
                found = re.match(r"What is the coefficient of x\^(\d+) in (.+)\?", problem.question)
                assert found is not None
                value = sympy.Poly(sympy.expand(read(found[2])), x).coeff_monomial(
                    x ** int(found[1])
                )
            assert str(value) == problem.answer


def test_tiny_problems_are_short_and_in_few_words() -> None:
    env = agentgym.make("agentgym/CodeMath-v0", difficulty="tiny", instructions="")
    words = {
        word
        for index in range(300)
        for word in env.tasks[index].goal.split()
        if not word.isdecimal()
    }
    assert words == {"*", "+", "^", "mod", "=", "?"}
    assert env.instructions == ""


@pytest.mark.integration
def test_a_tiny_episode_has_at_most_60_tokens() -> None:
    from agentgym.models.texts import expert_texts
    from agentgym.models.tiny import tiny_tokenizer

    options = {"difficulty": "tiny", "instructions": ""}
    texts = list(expert_texts("agentgym/CodeMath-v0", 200, **options))
    tokenizer = tiny_tokenizer(texts, digits=True)
    lengths = [len(tokenizer.encode(text, add_special_tokens=False)) for text in texts]
    assert texts[0] == ""
    # Question, code, output, answer, verdict; and a token before and after each answer.
    episodes = [sum(lengths[i : i + 5]) + 4 for i in range(1, len(lengths), 5)]
    assert max(episodes) <= 60
    assert all(text.endswith("= ?") for text in texts[1::5])
