"""Having a model rewrite a solution with code in it: what it is asked, and how its answer is read.

It always writes ReTool's tags, whatever the environment's action format is: they are easy to say
and to check, and the actions are written in the environment's format afterwards. It is asked for a
whole solution at once. What its code prints is left for the interpreter to say, and a text that
says so itself is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agentgym.envs.code.spans import plain_text
from agentgym.message import Message
from agentgym.scripts import UnscriptedError

_OPEN, _CLOSE = "<code>", "</code>"
_ANSWER, _ANSWERED = "<answer>", "</answer>"
_RULES = """\
You are given a problem and a worked solution in plain text. Rewrite the solution so that Python \
code does every calculation which the text does by hand. Keep the order of its thoughts, and its \
words where you can.

- Write code between <code> and </code>, where the calculation stood. A block belongs to one step \
of the solution, and there are at most {blocks} of them.
- {names}
- Every block prints what it computes.
- Say before a block, in the text, what it is for. A number that a block computes does not stand \
anywhere before that block.
- The block is run where it stands, and its output is put in behind it. Never write output \
yourself; go on with the text as somebody who has just read it.
- End with the final answer and nothing else between <answer> and </answer>.

Write the rewritten solution only. This is the form:

A crate holds 12 jars, so 9 crates hold 12 * 9.
<code>print(12 * 9)</code>
That is 108 jars. The shelf has room for 7 such loads.
<code>print(108 * 7)</code>
So 756 jars fit.
<answer>756</answer>"""
_APART = (
    "Every block is a program of its own: it imports what it needs, and repeats the numbers that "
    "it takes from earlier blocks."
)
_TOGETHER = "Blocks share their names, as the cells of a notebook do."


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A solution with code in it.

    Attributes:
        texts: What stands before each block and before the answer.
        blocks: The code; one fewer than there are texts.
        answer: The answer.
    """

    texts: tuple[str, ...]
    blocks: tuple[str, ...]
    answer: str


def asking(question: str, solution: str, *, blocks: int, stateful: bool) -> list[Message]:
    """Return the chat that asks for a rewritten solution.

    Args:
        question: The problem.
        solution: Its worked solution.
        blocks: How many blocks of code there may be.
        stateful: Whether blocks share their names.
    """
    rules = _RULES.format(blocks=blocks, names=_TOGETHER if stateful else _APART)
    told = f"Problem:\n{question.strip()}\n\nWorked solution:\n{plain_text(solution).strip()}"
    return [{"role": "system", "content": rules}, {"role": "user", "content": told}]


def read_rewritten(text: str) -> Rewritten:
    """Read what a model wrote.

    Args:
        text: Anything; what stands before `</think>` is a thought about the work and no part of it.

    Raises:
        UnscriptedError: If it is no solution of the form that was asked for.
    """
    rest = text.rpartition("</think>")[2]
    if "interpreter>" in rest:
        raise UnscriptedError("invented output", "the model wrote what its code would print")
    texts: list[str] = []
    blocks: list[str] = []
    while True:
        at, answer = rest.find(_OPEN), rest.find(_ANSWER)
        if answer >= 0 and (at < 0 or answer < at):
            break
        if at < 0:
            raise UnscriptedError("no answer", f"the text ends with {rest.strip()[-80:]!r}")
        inside, closed, after = rest[at + len(_OPEN) :].partition(_CLOSE)
        if not closed or _OPEN in inside:
            raise UnscriptedError("unclosed code", inside.strip()[:80])
        code = _unfenced(inside)
        if not code:
            raise UnscriptedError("empty code", f"in block {len(blocks) + 1}")
        texts.append(rest[:at])
        blocks.append(code)
        rest = after
    said, closed, after = rest[answer + len(_ANSWER) :].partition(_ANSWERED)
    if not closed or not said.strip():
        raise UnscriptedError("no answer", "the answer is empty or not closed")
    if after.strip():
        raise UnscriptedError("text after the answer", after.strip()[:80])
    if not blocks:
        raise UnscriptedError("no code", "the model wrote an answer and no code")
    return Rewritten((*texts, rest[:answer]), tuple(blocks), said.strip())


def _unfenced(block: str) -> str:
    """Drop a Markdown fence, and empty lines around the code."""
    body = block.strip("\n").rstrip()
    lines: Sequence[str] = body.split("\n")
    if len(lines) > 1 and lines[0].startswith("```") and lines[-1].strip() == "```":
        body = "\n".join(lines[1:-1])
    return body.strip()
