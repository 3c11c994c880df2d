"""`Episode`: one try at one episode: reset, then generate and step until it ends.

It fills a `Trajectory` as it goes and knows which stage it is in, so that whoever runs it can say
what failed; it catches nothing itself. Every stage has a gate (how many episodes may be in it at
once) and a time limit, so a wait at a gate ends when one of those inside runs out of time.
"""

import asyncio
import math
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from agentgym._deadlines import TaskLimit
from agentgym._ending import figures, stop_reason, succeeded
from agentgym.conversation import Conversation, Prompt
from agentgym.env import Image
from agentgym.episode_spec import EpisodeSpec
from agentgym.errors import PolicyError, TimeLimitError, UsageError
from agentgym.policy import Completion, Policy, Request, Sampling
from agentgym.rollout_config import RolloutConfig
from agentgym.seeding import stable_seed
from agentgym.stop_reason import StopReason
from agentgym.trajectory import Trajectory, Turn
from agentgym.workers import Reset, Stage, Step, Worker


class Gates:
    """How many episodes may be in each stage at once.

    Args:
        config: Says how many.
    """

    def __init__(self, config: RolloutConfig) -> None:
        self.reset = _gate(config.reset_concurrency)
        self.generate = _gate(config.generate_concurrency)
        self.step = _gate(config.step_concurrency)
        self.score = _gate(config.score_concurrency)


class Episode:
    """One try at one episode.

    Args:
        trajectory: What is filled; its seed and ids are set.
        spec: Which episode.
        sampling_seed: What every turn's sampling seed follows from.
        worker: Where the environment lives.
        policy: Who acts.
        config: Limits.
        gates: Shared by all episodes that run at the same time.
    """

    def __init__(
        self,
        trajectory: Trajectory,
        spec: EpisodeSpec,
        sampling_seed: int,
        worker: Worker,
        policy: Policy,
        config: RolloutConfig,
        gates: Gates,
    ) -> None:
        self.trajectory = trajectory
        self.stage = Stage.RESET
        """What it is doing, or was when it failed."""
        self.key = f"{trajectory.id}.{trajectory.attempts}"
        """What the policy knows it by; a retry is another conversation."""
        self._spec, self._sampling_seed = spec, sampling_seed
        self._worker, self._policy = worker, policy
        self._config, self._gates = config, gates
        context = policy.context_length
        self._room = min(context or math.inf, config.max_tokens or math.inf)
        self._sampling = spec.sampling or Sampling()
        self._stop = self._sampling.stop

    async def play(self) -> None:
        """Run the episode to its end; the trajectory then says why it ended.

        Raises:
            AgentGymError: What failed, in the stage that `stage` names.
            Exception: Anything that a policy raises.
        """
        began = time.perf_counter()
        try:
            await self._play()
        finally:
            self.trajectory.seconds = time.perf_counter() - began

    async def _play(self) -> None:
        trajectory, config = self.trajectory, self._config
        reset = await self._reset()
        briefing = reset.briefing
        conversation = Conversation(
            self._policy.template, briefing.instructions, briefing.shown_tools
        )
        text, image = observed(reset.observation)
        info = reset.info
        while True:
            prompt = conversation.observe(text, image)
            if prompt.ids is not None and len(prompt.ids) >= self._room:
                self._finish(StopReason.TOKEN_LIMIT, text, info)
                self._leave(prompt, image)
                break
            asked = time.perf_counter()
            request = Request(
                self.key,
                conversation.messages,
                prompt.ids,
                self._turn_sampling(0 if prompt.ids is None else len(prompt.ids)),
                info,
                briefing.tools,
                briefing.action_format,
                trajectory.task_id,
                prompt.images,
            )
            completion = await self._generate(request)
            turn = conversation.complete(completion)
            turn.generate_seconds = time.perf_counter() - asked
            trajectory.turns.append(turn)
            step = await self._step(turn)
            text, image = observed(step.observation)
            info = step.info
            reason = stop_reason(step)
            if reason is None and len(trajectory.turns) == config.max_turns:
                reason = StopReason.TURN_LIMIT
            if reason is not None:
                self._finish(reason, text, info)
                if reason.truncates and self._policy.template is not None:
                    self._leave(conversation.peek(text, image), image)
                break

    def _leave(self, prompt: Prompt, image: Image | None) -> None:
        """Record the prompt that would have come next, which a value is bootstrapped from."""
        self.trajectory.final_ids = prompt.new_ids
        self.trajectory.final_starts_sequence = prompt.starts_sequence
        self.trajectory.final_image = image

    async def _reset(self) -> Reset:
        spec, trajectory = self._spec, self.trajectory
        options = dict(spec.options)
        if spec.task is not None:
            options["task"] = spec.task
        async with self._gates.reset:
            trajectory.started = time.time()
            reset = await self._worker.reset(
                trajectory.seed, options or None, timeout=self._config.reset_seconds
            )
        briefing = reset.briefing
        trajectory.reset_seconds = reset.seconds
        trajectory.instructions = briefing.instructions
        trajectory.tools = [tool.openai() for tool in briefing.shown_tools]
        if briefing.task is not None:
            trajectory.task_id, trajectory.goal = briefing.task.id, briefing.task.goal
        if briefing.data_version is not None:
            trajectory.meta["data_version"] = briefing.data_version
        self._stop = tuple(dict.fromkeys((*self._sampling.stop, *briefing.stop)))
        return reset

    async def _generate(self, request: Request) -> Completion:
        self.stage = Stage.GENERATE
        policy, limit = self._policy, self._config.generate_seconds
        async with self._gates.generate:
            clock = TaskLimit(limit)
            try:
                with clock:
                    completions = await policy.generate([request])
            except TimeoutError as fault:
                if not clock.expired:
                    raise  # the policy's own
                raise TimeLimitError(Stage.GENERATE, type(policy).__name__, limit) from fault
        if len(completions) != 1:
            raise PolicyError(
                f"{type(policy).__name__} gave {len(completions)} answers to one request."
            )
        return completions[0]

    async def _step(self, turn: Turn) -> Step:
        self.stage = Stage.STEP
        async with self._gates.step:
            step = await self._worker.step(turn.action, timeout=self._config.step_seconds)
        turn.reward = step.reward
        turn.calls = step.calls
        turn.action_error = step.info.get("action_error")
        turn.step_seconds = step.seconds
        return step

    def _finish(self, reason: StopReason, text: str, info: Mapping[str, Any]) -> None:
        trajectory = self.trajectory
        trajectory.stop_reason = reason
        trajectory.success = succeeded(info, reason)
        trajectory.final_observation = text
        trajectory.metrics = figures(info)

    def _turn_sampling(self, prompt_tokens: int) -> Sampling:
        wanted = self._sampling
        room = self._room - prompt_tokens
        return Sampling(
            wanted.temperature,
            wanted.top_p,
            wanted.top_k,
            wanted.max_tokens if room >= wanted.max_tokens else int(room),
            self._stop,
            stable_seed(self._sampling_seed, len(self.trajectory.turns)),
        )


def observed(observation: Any) -> tuple[str, Image | None]:
    """Return an observation's text and image; a foreign environment may show a bare string.

    Raises:
        UsageError: If there is no text in it.
    """
    if isinstance(observation, dict) and isinstance(observation.get("text"), str):
        return observation["text"], observation.get("image")
    if isinstance(observation, str):
        return observation, None
    raise UsageError(
        "A rollout needs observations with text (a str, or a dict with 'text'); this environment "
        f"shows {type(observation).__name__}. Wrap it."
    )


def _gate(places: int | None) -> AbstractAsyncContextManager[Any]:
    return nullcontext() if places is None else asyncio.Semaphore(places)
