"""What a model can call: `ToolSpec` describes it, `ToolCall` is one call, `Tool` answers calls.

An environment lists its tools as specs; the chat template shows them to the model in OpenAI's
shape, an `ActionFormat` reads the model's calls against them, and `ToolSpec.problem` says in a
sentence what is wrong with a call, in words meant for the model. Tools that run something (Python,
a shell, a search) implement `Tool` and live in `agentgym.tools`; environments that answer their
calls themselves need only the specs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, cast, runtime_checkable

_PLAIN_OBJECT = frozenset({"type", "properties", "required", "additionalProperties"})
_PLAIN_STRING = frozenset({"type", "description", "title"})


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call, as the model meant it.

    Attributes:
        name: The tool's name.
        arguments: The arguments by name, JSON values.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class ToolSpec:
    """A tool's name, purpose and parameters.

    Attributes:
        name: An identifier.
        description: One sentence for the model.
        parameters: JSON schema of the arguments object.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]

    @classmethod
    def text(cls, name: str, description: str, argument: str, about: str) -> "ToolSpec":
        """Return the spec of a tool that takes one required string.

        Args:
            name: The tool's name.
            description: What the tool does.
            argument: The name of its one argument.
            about: What the argument is.
        """
        properties = {argument: {"type": "string", "description": about}}
        schema = {"type": "object", "properties": properties, "required": [argument]}
        return cls(name, description, {**schema, "additionalProperties": False})

    def __getstate__(self) -> dict[str, Any]:
        # The compiled validator doesn't pickle, and specs travel to and from workers.
        return {key: self.__dict__[key] for key in ("name", "description", "parameters")}

    @property
    def text_argument(self) -> str | None:
        """Name of the argument that plain text fills, the one required string; None without one."""
        properties: Mapping[str, Mapping[str, Any]] = self.parameters.get("properties", {})
        required: list[str] = list(self.parameters.get("required", []))
        if len(required) == 1 and properties.get(required[0], {}).get("type") == "string":
            return required[0]
        return None

    @property
    def takes_only_text(self) -> bool:
        """Whether that string is all it takes, so that any text is a call."""
        return self.text_argument is not None and len(self.parameters.get("properties", {})) == 1

    def openai(self) -> dict[str, Any]:
        """Return the spec in the shape of OpenAI's `tools`, which chat templates read as well."""
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": dict(self.parameters),
        }
        return {"type": "function", "function": function}

    def problem(self, arguments: object) -> str | None:
        """Say what is wrong with the arguments, for the model to read; None if nothing is."""
        if self._is_any_text(arguments):
            return None
        errors = list(self._validator.iter_errors(arguments))
        if not errors:
            return None
        worst = min(errors, key=lambda error: len(error.absolute_path))
        where = ".".join(str(part) for part in worst.absolute_path)
        message: str = worst.message if len(worst.message) <= 200 else worst.message[:200] + "…"
        return f"{self.name}: {where + ': ' if where else ''}{message}"

    def _is_any_text(self, arguments: object) -> bool:
        # What nearly every call is. The schema library takes 40 µs to say so, longer than a text
        # world takes for a turn.
        if not isinstance(arguments, dict) or self._free_text is None:
            return False
        given = cast("dict[str, object]", arguments)
        return given.keys() == {self._free_text} and isinstance(given[self._free_text], str)

    @cached_property
    def _free_text(self) -> str | None:
        # The text argument, if any string at all is a valid one.
        name = self.text_argument
        if name is None or not self.parameters.keys() <= _PLAIN_OBJECT:
            return None
        return name if self.parameters["properties"][name].keys() <= _PLAIN_STRING else None

    @cached_property
    def _validator(self) -> Any:
        # Imported on the first call: the schema library costs more than all of `import agentgym`.
        import jsonschema

        return jsonschema.Draft202012Validator(dict(self.parameters))


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered.

    Attributes:
        text: What the model reads.
        error: What went wrong, in the model's terms; None when the call worked.
        data: Anything machine-readable, for rewards and the viewer.
    """

    text: str
    error: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


@runtime_checkable
class Tool(Protocol):
    """Something that answers calls; found by name through the registry's group `agentgym.tools`."""

    @property
    def spec(self) -> ToolSpec:
        """What the model is told."""
        ...

    async def call(self, arguments: Mapping[str, Any], *, timeout: float) -> ToolResult:
        """Answer one call within `timeout` seconds.

        A mistake in the arguments is a `ToolResult` with `error`; a fault of the machinery below
        the tool is an `InfraError`.
        """
        ...

    async def close(self) -> None:
        """Release what the tool holds; may be called more than once."""
        ...
