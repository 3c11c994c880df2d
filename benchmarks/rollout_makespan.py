"""How much sooner independent episodes are done than episodes in lock-step, on the same latencies.

N environments each play one episode of 30 turns. How long step k of environment i takes is drawn
once, log-normal with sigma 1 (the heavy tail of browsers and sandboxes), and is the same for both:

- ours: `agentgym.rollout.Collector`; an episode asks for its next answer when its own step is done.
- lock-step, as a vector environment or a batched generation loop runs episodes: each turn, one call
  to the policy with all N requests, then all N steps at once, and a barrier until the slowest is
  done.

Both use the same thread workers, the same `Conversation`, and a policy that answers at once, so
that the difference is the schedule and nothing else. "Ideal" is the ratio that the latencies alone
allow: the sum over turns of the slowest step, over the slowest environment's sum of steps; what
lies between it and the measured ratio is the cost of threads and of our scheduler. Times are sums
over several traces where there are several.

    python benchmarks/rollout_makespan.py [--environments 16 64 256]
"""

import argparse
import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agentgym.conversation import Conversation
from agentgym.env import AgentEnv, Frame, WorkerKind
from agentgym.episode import observed
from agentgym.policy import Completion, Request, Sampling
from agentgym.rollout import Collector, EpisodeSpec, RolloutConfig
from agentgym.task import Task, TaskList
from agentgym.tool import ToolCall, ToolSpec
from agentgym.workers import Worker, make_worker

TURNS = 30
GOALS = {16: 2.3, 64: 3.5, 256: 4.5}
# Traces and median latency (seconds): few environments vary more from trace to trace, many need
# longer latencies for the schedule, and not the interpreter, to be what is measured.
PLANS = {16: (4, 0.020), 64: (2, 0.025), 256: (1, 0.060)}


class Sleeper(AgentEnv):
    """Environment number `task`, whose steps take what the trace says."""

    worker = WorkerKind.THREAD

    def __init__(self, latencies_NK: npt.NDArray[np.float64]) -> None:
        super().__init__()
        self.tools = (ToolSpec.text("wait", "Waits.", "words", "anything"),)
        self.tasks = TaskList(
            [Task(str(i), "Wait.", data={"i": i}) for i in range(len(latencies_NK))]
        )
        self.latencies_NK = latencies_NK
        self.turn = 0

    def _begin(self, task: Task, options: Mapping[str, Any]) -> Frame:
        self.turn = 0
        return Frame("Wait.")

    def _act(self, calls: Sequence[ToolCall]) -> Frame:
        time.sleep(self.latencies_NK[self.task.data["i"], self.turn])
        self.turn += 1
        ended = self.turn == self.latencies_NK.shape[1]
        return Frame("Wait.", ended=ended, success=ended)


class Instant:
    """Answers at once."""

    template = None
    context_length = None
    episodes_at_once = None
    wants_expert = None

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer every request."""
        return [Completion("on") for _ in requests]

    def release(self, episode: str) -> None:
        """Forget nothing, since nothing is kept."""

    async def close(self) -> None:
        """Release nothing."""


def independent(latencies_NK: npt.NDArray[np.float64]) -> float:
    """Return the seconds that our scheduler takes."""
    count = len(latencies_NK)
    config = RolloutConfig(concurrency=count)
    arguments = {"latencies_NK": latencies_NK}
    with Collector(Sleeper, arguments, Instant(), config) as collector:
        began = time.perf_counter()
        trajectories = collector.collect([EpisodeSpec(task=i, seed=0) for i in range(count)])
        seconds = time.perf_counter() - began
    assert all(t.success and len(t.turns) == TURNS for t in trajectories)
    return seconds


async def lock_step(latencies_NK: npt.NDArray[np.float64]) -> float:
    """Return the seconds that a barrier after every turn takes."""
    arguments = {"latencies_NK": latencies_NK}
    policy = Instant()
    workers = [make_worker(None, Sleeper, arguments) for _ in latencies_NK]
    began = time.perf_counter()
    resets = await asyncio.gather(*(w.reset(0, {"task": i}) for i, w in enumerate(workers)))
    conversations = [Conversation(None, reset.briefing.instructions) for reset in resets]
    shown: list[Any] = list(resets)
    for _ in range(TURNS):
        requests: list[Request] = []
        for i, conversation in enumerate(conversations):
            conversation.observe(observed(shown[i].observation)[0])
            messages, info = conversation.messages, shown[i].info
            requests.append(Request(str(i), messages, None, Sampling(), info))
        completions = await policy.generate(requests)
        for conversation, completion in zip(conversations, completions, strict=True):
            conversation.complete(completion)
        steps = zip(workers, completions, strict=True)
        shown = list(await asyncio.gather(*(_step(worker, answer) for worker, answer in steps)))
    seconds = time.perf_counter() - began
    assert all(step.terminated for step in shown)
    await asyncio.gather(*(worker.close() for worker in workers))
    return seconds


async def _step(worker: Worker, completion: Completion) -> Any:
    return await worker.step(completion.text)


@dataclass(frozen=True, slots=True)
class Result:
    """Sums over the traces of one size, in seconds."""

    environments: int
    lock_step: float
    ours: float
    ideal: float

    def line(self) -> str:
        """Return the table's row."""
        ratio = self.lock_step / self.ours
        goal = GOALS.get(self.environments)
        verdict = "" if goal is None else f"{goal:>6.1f}  {'yes' if ratio >= goal else 'NO'}"
        return (
            f"{self.environments:>12}  {self.lock_step:>9.2f} s  {self.ours:>6.2f} s"
            f"  {ratio:>6.2f}  {self.ideal:>6.2f}  {verdict}"
        )


def measure(environments: int) -> Result:
    """Run both schedules on the traces for so many environments."""
    traces, median = PLANS.get(environments, (2, 0.025))
    times = np.zeros((traces, 4))
    for seed in range(traces):
        rng = np.random.default_rng([environments, seed])
        latencies_NK = median * rng.lognormal(0.0, 1.0, (environments, TURNS))
        bounds = latencies_NK.max(axis=0).sum(), latencies_NK.sum(axis=1).max()
        times[seed] = asyncio.run(lock_step(latencies_NK)), independent(latencies_NK), *bounds
    slow, ours, slow_bound, our_bound = times.sum(axis=0)
    return Result(environments, float(slow), float(ours), float(slow_bound / our_bound))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--environments", type=int, nargs="+", default=list(PLANS))
    sizes: list[int] = parser.parse_args().environments
    print(f"{TURNS} turns per environment, log-normal latency, sigma 1")
    print("environments    lock-step      ours   ratio   ideal    goal  met")
    for environments in sizes:
        print(measure(environments).line(), flush=True)


if __name__ == "__main__":
    main()
