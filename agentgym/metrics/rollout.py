"""`rollout_metrics`: what a batch of trajectories was like, as named figures.

What the world or the policy's machinery did to an episode (`infra_error`, `env_error`,
`policy_error`) is counted under `stop/` and `infra/` and enters no mean of success, reward, length
or time: it says nothing about the model, and the call that failed took its time limit, or has no
latency at all. A figure of which there is nothing to take it over is left out. Spreads are
population standard deviations; statistics of groups are taken over trajectories.

    rollout/episodes             how many, faulted ones included
    rollout/success              mean over the sound ones, as everything below
    rollout/reward, reward_std, reward_min, reward_max
    rollout/turns, turns_max     per episode
    rollout/tokens, tokens_max   sampled ids per episode
    rollout/turn_tokens          sampled ids per turn
    rollout/prompt_tokens        ids per episode that were not sampled
    rollout/cut_turns            fraction of turns whose sampling ran into its limit
    rollout/action_errors        fraction of turns whose action did not parse or could not be done
    group/count, group/size      groups with two or more sound episodes
    group/reward_std             mean over the groups of the spread within
    group/success_std
    group/reward_between_std     spread of the groups' means
    group/flat                   fraction of groups whose rewards are all equal: no signal
    group/solved, group/failed   fraction of groups in which all, and in which none, succeed
    stop/<reason>                fraction of all episodes, for every reason
    infra/failures, infra/env_errors, infra/policy_errors, infra/retries    counts
    env/<name>                   mean of the environments' own figures, and of those finite
    time/step_p50, step_p99, generate_p50, generate_p99, reset_p50, reset_p99, episode    seconds
"""

import math
from collections.abc import Sequence

import numpy as np

from agentgym.policy import FinishReason
from agentgym.stop_reason import StopReason
from agentgym.trajectory import Trajectory


def rollout_metrics(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Return the figures that the module lists, by name.

    Args:
        trajectories: Any number of episodes, of any environments.
    """
    sound = [trajectory for trajectory in trajectories if trajectory.stop_reason.trainable]
    return {
        "rollout/episodes": len(trajectories),
        **_episodes(sound),
        **_turns(sound),
        **_groups(sound),
        **_faults(trajectories),
        **_env(sound),
        **_times(sound),
    }


def _episodes(sound: Sequence[Trajectory]) -> dict[str, float]:
    if not sound:
        return {}
    rewards = np.array([trajectory.reward for trajectory in sound])
    turns = np.array([len(trajectory.turns) for trajectory in sound])
    tokens = np.array([trajectory.sampled_tokens for trajectory in sound])
    prompts = [sum(len(turn.prompt_ids) for turn in trajectory.turns) for trajectory in sound]
    return {
        "rollout/success": float(np.mean([trajectory.success for trajectory in sound])),
        "rollout/reward": float(rewards.mean()),
        "rollout/reward_std": float(rewards.std()),
        "rollout/reward_min": float(rewards.min()),
        "rollout/reward_max": float(rewards.max()),
        "rollout/turns": float(turns.mean()),
        "rollout/turns_max": int(turns.max()),
        "rollout/tokens": float(tokens.mean()),
        "rollout/tokens_max": int(tokens.max()),
        "rollout/prompt_tokens": float(np.mean(prompts)),
    }


def _turns(sound: Sequence[Trajectory]) -> dict[str, float]:
    turns = [turn for trajectory in sound for turn in trajectory.turns]
    if not turns:
        return {}
    cut = [turn.finish is FinishReason.LENGTH for turn in turns]
    wrong = [turn.action_error is not None for turn in turns]
    return {
        "rollout/turn_tokens": float(np.mean([len(turn.completion_ids) for turn in turns])),
        "rollout/cut_turns": float(np.mean(cut)),
        "rollout/action_errors": float(np.mean(wrong)),
    }


def _groups(sound: Sequence[Trajectory]) -> dict[str, float]:
    members: dict[str, list[Trajectory]] = {}
    for trajectory in sound:
        if trajectory.group_id:
            members.setdefault(trajectory.group_id, []).append(trajectory)
    groups = [group for group in members.values() if len(group) > 1]
    if not groups:
        return {}
    rewards = [np.array([trajectory.reward for trajectory in group]) for group in groups]
    success = [np.array([bool(member.success) for member in group]) for group in groups]
    return {
        "group/count": len(groups),
        "group/size": float(np.mean([len(group) for group in groups])),
        "group/reward_std": float(np.mean([group.std() for group in rewards])),
        "group/success_std": float(np.mean([group.std() for group in success])),
        "group/reward_between_std": float(np.std([group.mean() for group in rewards])),
        "group/flat": float(np.mean([bool((group == group[0]).all()) for group in rewards])),
        "group/solved": float(np.mean([bool(group.all()) for group in success])),
        "group/failed": float(np.mean([not group.any() for group in success])),
    }


def _faults(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    counts = dict.fromkeys(StopReason, 0)
    for trajectory in trajectories:
        counts[trajectory.stop_reason] += 1
    stops: dict[str, float] = {}
    if trajectories:
        stops = {f"stop/{reason}": n / len(trajectories) for reason, n in counts.items()}
    return stops | {
        "infra/failures": counts[StopReason.INFRA_ERROR],
        "infra/env_errors": counts[StopReason.ENV_ERROR],
        "infra/policy_errors": counts[StopReason.POLICY_ERROR],
        "infra/retries": sum(trajectory.attempts - 1 for trajectory in trajectories),
    }


def _env(sound: Sequence[Trajectory]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for trajectory in sound:
        for name, value in trajectory.metrics.items():
            if math.isfinite(value):
                values.setdefault(name, []).append(float(value))
    return {f"env/{name}": float(np.mean(values[name])) for name in sorted(values)}


def _times(sound: Sequence[Trajectory]) -> dict[str, float]:
    turns = [turn for trajectory in sound for turn in trajectory.turns]
    seconds = {
        "step": [turn.step_seconds for turn in turns],
        "generate": [turn.generate_seconds for turn in turns],
        "reset": [trajectory.reset_seconds for trajectory in sound],
    }
    figures: dict[str, float] = {}
    for stage, samples in seconds.items():
        if samples:
            p50, p99 = np.percentile(samples, (50, 99))
            figures |= {f"time/{stage}_p50": float(p50), f"time/{stage}_p99": float(p99)}
    if sound:
        figures["time/episode"] = float(np.mean([one.seconds for one in sound]))
    return figures
