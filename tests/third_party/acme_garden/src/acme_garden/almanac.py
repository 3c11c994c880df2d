"""A tool that knows when to plant what."""

from collections.abc import Mapping
from typing import Any

from agentgym import ToolResult, ToolSpec


class Almanac:
    """Answers which month a plant is for."""

    spec = ToolSpec.text("almanac", "Says when to plant.", "plant", "the plant")

    async def call(self, arguments: Mapping[str, Any], *, timeout: float) -> ToolResult:
        """Answer at once."""
        return ToolResult(f"Plant {arguments['plant']} in March.")

    async def close(self) -> None:
        """Nothing is held."""
