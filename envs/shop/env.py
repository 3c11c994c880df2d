"""`ShopEnv`: find a product that fits an instruction, choose its options, and buy it.

After WebShop (Yao et al. 2022, arXiv 2207.01206): its pages, its commands and its reward, over a
generated catalogue or any other. See README.md in this folder for the spaces, rewards and versions.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agentgym.actions import ActionFormat, ParsedAction
from agentgym.env import AgentEnv, Frame, WorkerKind
from agentgym.envs.shop.catalogue import PRODUCTS, Catalogue, whole
from agentgym.envs.shop.expert import Shopper
from agentgym.envs.shop.goals import Goal, Goals
from agentgym.envs.shop.pages import Style, written
from agentgym.envs.shop.visit import Visit
from agentgym.errors import UsageError
from agentgym.members import member
from agentgym.task import Task
from agentgym.tool import ToolCall, ToolSpec

MAX_TURNS = 15

ACTION = ToolSpec.text(
    "action",
    "Does one thing in the shop: search[words] on the page with the search form, or click[target] "
    "for a product's id, an option or a button of the page, such as click[Buy Now].",
    "command",
    "the command",
)


class ShopEnv(AgentEnv):
    """Buy what an instruction asks for.

    Args:
        split: "train" or "valid".
        catalogue: A JSONL file with a product a line; a generated catalogue where None.
        products: How many products there are; 10,000, or all of the file where None.
        catalogue_seed: Which catalogue is generated.
        goals: How many goals there are; 10,000 in "train" and 500 in "valid" where None.
        results_per_page: How many products a page of results has.
        observation: "lines", or "sep" for one line as in WebShop's text mode.
        max_turns: Turns after which the episode is truncated.
        action_format: See `AgentEnv`.
        expert: See `AgentEnv`; "shopper" knows what the pages have shown.
        instructions: See `AgentEnv`.
        render_mode: None or "ansi".

    Raises:
        UsageError: If an option is none of the above.
        DataError: If the catalogue can't be read or has no goals.
    """

    worker = WorkerKind.SHARED
    tools = (ACTION,)
    experts = ("shopper",)
    description = (
        "You are in an online shop. Find a product that fits the instruction, choose the options "
        "that it asks for, and buy it. You can buy once."
    )

    def __init__(
        self,
        *,
        split: str = "train",
        catalogue: str | Path | None = None,
        products: int | None = None,
        catalogue_seed: int = 0,
        goals: int | None = None,
        results_per_page: int = 10,
        observation: str = "lines",
        max_turns: int | None = MAX_TURNS,
        action_format: str | ActionFormat = "plain",
        expert: bool | str = False,
        instructions: str | None = None,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(
            action_format=action_format,
            max_turns=max_turns,
            expert=expert,
            instructions=instructions,
            render_mode=render_mode,
        )
        self._per_page = whole("results_per_page", results_per_page)
        self._style = member(Style, observation, "observation style")
        if catalogue is None:
            count = PRODUCTS if products is None else products
            self.catalogue = Catalogue.generated(count, catalogue_seed)
        else:
            self.catalogue = Catalogue.read(catalogue, products)
        self.tasks = Goals(self.catalogue, split, goals)
        self._goal: Goal | None = None
        self._visit: Visit | None = None
        self._shopper: Shopper | None = None

    @property
    def data_version(self) -> str:
        """A hash of the catalogue and the current goal."""
        wanted = json.dumps([self.task.goal, dict(self.task.data)], sort_keys=True, default=str)
        return hashlib.sha256(f"{self.catalogue.digest}/{wanted}".encode()).hexdigest()[:16]

    def _begin(self, task: Task, options: Mapping[str, Any]) -> Frame:
        if options:
            raise UsageError(f"Shop's reset takes no option but 'task', got {sorted(options)}")
        self._visit = Visit(self.catalogue, Goal.of(task, self.catalogue), self._per_page)
        self._shopper = None if self.expert is None else Shopper(task.goal)
        return self._frame_of(self._visit)

    def _act(self, calls: Sequence[ToolCall]) -> Frame:
        assert self._visit is not None  # AgentEnv calls only between reset and the end
        error = self._visit.do(str(calls[0].arguments["command"]))
        return self._frame_of(self._visit, error)

    def _frame_of(self, visit: Visit, error: str | None = None) -> Frame:
        if self._shopper is not None:
            self._shopper.look(visit.page)
        bought = visit.score
        metrics = {"searches": float(visit.searches), "opened": float(visit.opened)}
        reward = 0.0 if bought is None else bought.reward
        return Frame(
            error or written(visit.page, self.task.goal, self._style),
            reward=reward,
            ended=bought is not None,
            success=reward == 1,
            action_error=error,
            metrics=metrics if bought is None else metrics | bought.metrics(),
            info={"admissible_commands": visit.commands()},
        )

    def _expert(self, name: str) -> ParsedAction | None:
        assert self._shopper is not None  # made at the reset, for whoever asked for an expert
        left = (self.max_turns or MAX_TURNS) - self._turns
        return ParsedAction((ToolCall(ACTION.name, {"command": self._shopper.advise(left)}),))

    def _release(self) -> None:
        self._visit = self._shopper = None
