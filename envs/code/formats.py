r"""How a model writes code and answers: ReTool's tags, or tool calls.

Both take an answer in `\boxed{…}` as well, where that is asked for: it is how models are taught to
end a solution.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from agentgym.actions import ActionFormat, ParsedAction, Tags, ToolCallFormat, action_format
from agentgym.actions.base import split_thought
from agentgym.tool import ToolCall, ToolSpec

_BOX = "\\boxed{"
_BRACE = re.compile(r"(?<!\\)[{}]")


class CodeTags(Tags):
    """`<code>…</code>` or `<answer>…</answer>`: the first of them ends the turn.

    What a model writes after it is cut off: an `<interpreter>` block among it would be the model's
    own invention. Code may stand in a thought that isn't finished, as ReTool's does.

    Args:
        boxed: Whether an answer may be given in a box.
    """

    stop = ("</code>", "</answer>")

    def __init__(self, *, boxed: bool = False) -> None:
        self._boxed = boxed

    def parse(self, text: str, tools: Sequence[ToolSpec]) -> ParsedAction:
        """Read the first action of the text."""
        thought, rest = split_thought(text)
        if "</think>" not in text:
            thought, rest = "", text.replace("<think>", "", 1)
        turn = _first_action(rest, tools)
        if turn is None and self._boxed and (answer := boxed(rest)) is not None:
            return _answered(answer, thought or rest.strip(), tools)
        parsed = super().parse(rest if turn is None else turn, tools)
        return replace(parsed, thought=thought) if thought else parsed


class CodeToolCalls(ToolCallFormat):
    """Tool calls, or a text without any that has the answer in a box.

    Args:
        boxed: Whether an answer may be given in a box.
    """

    def __init__(self, *, boxed: bool = False) -> None:
        self._boxed = boxed

    def parse(self, text: str, tools: Sequence[ToolSpec]) -> ParsedAction:
        """Read the calls, or the box."""
        parsed = super().parse(text, tools)
        if parsed.error is None or not self._boxed or "<tool_call>" in text:
            return parsed
        thought, rest = split_thought(text)
        answer = boxed(rest)
        return parsed if answer is None else _answered(answer, thought or rest.strip(), tools)


def code_format(choice: str | ActionFormat, *, boxed: bool) -> ActionFormat:
    """Return the format of that name, as the code environments understand it.

    Args:
        choice: A name, or a format, which stays as it is.
        boxed: Whether an answer may be given in a box.

    Raises:
        UnknownNameError: If there is none.
    """
    if choice == "tags":
        return CodeTags(boxed=boxed)
    if choice == "tool_call":
        return CodeToolCalls(boxed=boxed)
    return action_format(choice) if isinstance(choice, str) else choice


def boxed(text: str) -> str | None:
    r"""Return what stands in the last `\boxed{…}`; None where there is none that is closed."""
    start = text.rfind(_BOX)
    if start < 0:
        return None
    start += len(_BOX)
    depth = 1
    for brace in _BRACE.finditer(text, start):
        depth += 1 if brace.group() == "{" else -1
        if depth == 0:
            return text[start : brace.start()]
    return None


def _first_action(text: str, tools: Sequence[ToolSpec]) -> str | None:
    """Return the text up to the end of its first action; None where it has none that is closed."""
    opened = [(at, tool.name) for tool in tools if (at := text.find(f"<{tool.name}>")) >= 0]
    if not opened:
        return None
    at, name = min(opened)
    closing = f"</{name}>"
    end = text.find(closing, at)
    return text if end < 0 else text[: end + len(closing)]


def _answered(answer: str, thought: str, tools: Sequence[ToolSpec]) -> ParsedAction:
    final = tools[-1]
    return ParsedAction((ToolCall(final.name, {final.text_argument or "": answer}),), thought)
