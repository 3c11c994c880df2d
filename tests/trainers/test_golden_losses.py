"""Every algorithm's loss and gradient, on a two-layer model, against loops over tokens.

The references are written from the papers' formulas, in plain Python over scalars, and share
nothing with the kernel: GSPO differentiates its geometric mean instead of re-attaching gradients,
advantages come from `statistics`, log-probabilities from one unpadded forward pass per sequence.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor
from training_cases import mixed_trajectories, tiny_model

from agentgym.trainers.advantages import spread_over_tokens, turn_advantages
from agentgym.trainers.aggregation import token_weights
from agentgym.trainers.batch import TokenBatch, TurnTable
from agentgym.trainers.forward import batch_logprobs
from agentgym.trainers.losses import PolicyLossConfig, policy_loss
from agentgym.trainers.ratios import CorrectionConfig
from agentgym.trainers.settings import ALGORITHMS, as_published
from agentgym.trainers.value_loss import value_loss

TEMPERATURE = 0.8


@dataclass
class Token:
    """One sampled token, as the loops see it; `logp` and `entropy` are leaves."""

    logp: Tensor
    entropy: Tensor
    old: float
    mu: float
    ref: float
    advantage: float = 0.0


Turns = dict[int, list[Token]]
"""The tokens of a trajectory by turn."""


class Case:
    """A model, a batch, and the same batch as nested lists of tokens."""

    def __init__(self) -> None:
        self.model = tiny_model()
        self.trajectories = mixed_trajectories()
        self.table = TurnTable.of(self.trajectories)
        batch = TokenBatch.of(self.trajectories)
        with torch.no_grad():
            logprobs_BT = batch_logprobs(
                self.model, batch, temperature=TEMPERATURE
            ).tokens.logprobs_BT
        noise = np.random.default_rng(0)

        def near(scale: float) -> Tensor:
            return (logprobs_BT + torch.from_numpy(scale * noise.normal(size=batch.shape))).float()

        self.batch = replace(
            batch, logprobs_old_BT=near(0.3), logprobs_mu_BT=near(0.6), logprobs_ref_BT=near(0.5)
        )
        self.tokens, self.jacobian = self._tokens()

    def _tokens(self) -> tuple[dict[int, Turns], Tensor]:
        """Return the tokens, and the gradient of each one's log-probability and entropy."""
        tokens: dict[int, Turns] = defaultdict(lambda: defaultdict(list))
        gradients: list[Tensor] = []
        b = self.batch
        old_BT, ref_BT = b.need("logprobs_old_BT"), b.need("logprobs_ref_BT")
        for row in range(len(b)):
            ids = b.input_ids_BT[row, : b.lengths_B[row]]
            logits = self.model(input_ids=ids[None], use_cache=False).logits[0] / TEMPERATURE
            for t in range(len(ids)):
                if not b.mask_BT[row, t]:
                    continue
                logprobs_V = logits[t - 1] - logits[t - 1].logsumexp(0)
                logp, entropy = logprobs_V[ids[t]], -(logprobs_V.exp() * logprobs_V).sum()
                gradients += [self.gradient(logp), self.gradient(entropy)]
                token = Token(
                    logp=logp.detach().requires_grad_(),
                    entropy=entropy.detach().requires_grad_(),
                    old=float(old_BT[row, t]),
                    mu=float(b.logprobs_mu_BT[row, t]),
                    ref=float(ref_BT[row, t]),
                )
                tokens[int(b.trajectory_B[row])][int(b.turn_id_BT[row, t])].append(token)
        return tokens, torch.stack(gradients)

    def gradient(self, loss: Tensor) -> Tensor:
        """Return the gradient with respect to the model, flat."""
        parameters = list(self.model.parameters())
        grads = torch.autograd.grad(
            loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return torch.cat([g.flatten() for g in grads])

    def reference_gradient(self, loss: Tensor) -> Tensor:
        """Return the same for a loss over tokens, by the chain rule."""
        leaves = [leaf for token in everything(self) for leaf in (token.logp, token.entropy)]
        grads = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
        return torch.stack(grads) @ self.jacobian


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


# Advantages, by hand.


def outcomes(case: Case) -> dict[str, dict[int, float]]:
    groups: dict[str, dict[int, float]] = defaultdict(dict)
    for i, t in enumerate(case.trajectories):
        if t.stop_reason.trainable:
            groups[t.group_id][i] = sum(turn.reward for turn in t.turns)
    return groups


def per_group(case: Case, rule: Callable[[float, list[float]], float]) -> dict[int, float]:
    return {
        i: rule(r, list(members.values()))
        for members in outcomes(case).values()
        for i, r in members.items()
    }


def z_score(r: float, group: list[float]) -> float:
    return (r - statistics.mean(group)) / (statistics.stdev(group) + 1e-6)


def centred(r: float, group: list[float]) -> float:
    return r - statistics.mean(group)


def against_others(r: float, group: list[float]) -> float:
    return r - (sum(group) - r) / (len(group) - 1)


def assign(case: Case, advantages: dict[int, float]) -> None:
    for i, turns in case.tokens.items():
        for tokens in turns.values():
            for token in tokens:
                token.advantage = advantages[i]


def assign_whitened_returns(case: Case) -> None:
    """Reward-to-go per turn, whitened with each trajectory counting once."""
    returns: dict[tuple[int, int], float] = {}
    for i in case.tokens:
        turns = case.trajectories[i].turns
        for k in range(len(turns)):
            returns[i, k] = sum(turn.reward for turn in turns[k:])
    weight = {key: 1 / len(case.tokens[key[0]]) for key in returns}
    total = sum(weight.values())
    mean = sum(weight[key] * g for key, g in returns.items()) / total
    var = sum(weight[key] * (g - mean) ** 2 for key, g in returns.items()) / (total - 1)
    for (i, k), g in returns.items():
        for token in case.tokens[i][k]:
            token.advantage = (g - mean) / (math.sqrt(var) + 1e-6)


# Losses, by hand.


def flat(turns: Turns) -> list[Token]:
    return [token for tokens in turns.values() for token in tokens]


def everything(case: Case) -> list[Token]:
    return [token for turns in case.tokens.values() for token in flat(turns)]


def truncated(token: Token, cap: float = 2.0) -> float:
    return min(math.exp(token.old - token.mu), cap)


def clipped(ratio: Tensor, advantage: float, low: float, high: float) -> Tensor:
    plain, held = ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage
    return plain if plain < held else held


def ppo_term(token: Token, low: float = 0.2, high: float = 0.2) -> Tensor:
    return clipped(torch.exp(token.logp - token.old), token.advantage, low, high)


def mean(terms: list[Tensor]) -> Tensor:
    return sum(terms[1:], terms[0]) / len(terms)


def grpo(case: Case) -> Tensor:
    per_trajectory: list[Tensor] = []
    for turns in case.tokens.values():
        terms: list[Tensor] = []
        for token in flat(turns):
            x = token.ref - token.logp
            kl = torch.exp(x) - x - 1
            terms.append(-truncated(token) * ppo_term(token) + 0.001 * kl)
        per_trajectory.append(mean(terms))
    return mean(per_trajectory)


def dr_grpo(case: Case) -> Tensor:
    sums = [
        sum(-truncated(token) * ppo_term(token) for token in flat(turns)) / 16
        for turns in case.tokens.values()
    ]
    return mean([torch.as_tensor(s) for s in sums])


def dapo(case: Case) -> Tensor:
    return mean([-truncated(token) * ppo_term(token, high=0.28) for token in everything(case)])


def token_mean_ppo(case: Case) -> Tensor:
    return mean([-truncated(token) * ppo_term(token) for token in everything(case)])


def geometric_mean_ratio(tokens: list[Token]) -> Tensor:
    product = torch.ones((), dtype=torch.float64)
    for token in tokens:
        product = product * torch.exp(token.logp - token.old)
    return product ** (1 / len(tokens))


def gspo(case: Case) -> Tensor:
    """With a correction of 1, as its weight may differ within a sequence."""
    terms: list[Tensor] = []
    for turns in case.tokens.values():
        tokens = flat(turns)
        ratio = geometric_mean_ratio(tokens)
        terms.append(-clipped(ratio, tokens[0].advantage, 3e-4, 4e-4))
    return mean(terms)


def gspo_turn(case: Case) -> Tensor:
    terms: list[Tensor] = []
    for turns in case.tokens.values():
        for tokens in turns.values():
            ratio = geometric_mean_ratio(tokens)
            terms.append(-clipped(ratio, tokens[0].advantage, 3e-4, 4e-4))
    return mean(terms)


def rloo(case: Case) -> Tensor:
    terms: list[Tensor] = []
    for turns in case.tokens.values():
        total = torch.zeros((), dtype=torch.float64)
        for token in flat(turns):
            total = total - truncated(token) * token.advantage * token.logp
        terms.append(total)
    return mean(terms)


def arpo(case: Case) -> Tensor:
    per_trajectory: list[Tensor] = []
    for turns in case.tokens.values():
        terms: list[Tensor] = []
        for token in flat(turns):
            term = -ppo_term(token, high=0.3)
            if token.advantage < 0 and term > -3 * token.advantage:
                term = torch.zeros_like(term) - 3 * token.advantage
            terms.append(truncated(token) * term)
        per_trajectory.append(mean(terms))
    return mean(per_trajectory)


def cispo(case: Case) -> Tensor:
    terms: list[Tensor] = []
    for token in everything(case):
        weight = min(math.exp(token.logp.item() - token.old), 5.0)
        terms.append(-truncated(token) * weight * token.advantage * token.logp)
    return mean(terms)


def sapo(case: Case) -> Tensor:
    per_trajectory: list[Tensor] = []
    for turns in case.tokens.values():
        terms: list[Tensor] = []
        for token in flat(turns):
            tau = 1.0 if token.advantage > 0 else 1.05
            ratio = torch.exp(token.logp - token.old)
            gate = 1 / (1 + torch.exp(-tau * (ratio - 1)))
            terms.append(-truncated(token) * 4 / tau * gate * token.advantage)
        per_trajectory.append(mean(terms))
    return mean(per_trajectory)


REFERENCES: dict[str, Callable[[Case], Tensor]] = {
    "grpo": grpo,
    "dr_grpo": dr_grpo,
    "dapo": dapo,
    "gspo": gspo,
    "gspo_turn": gspo_turn,
    "rloo": rloo,
    "reinforce_pp": token_mean_ppo,
    "reinforce_pp_baseline": token_mean_ppo,
    "ppo": token_mean_ppo,
    "arpo": arpo,
    "cispo": cispo,
    "sapo": sapo,
}


def weighed(case: Case, config: PolicyLossConfig, advantages_K: Tensor) -> TokenBatch:
    return replace(
        case.batch,
        advantages_BT=spread_over_tokens(advantages_K, case.table, case.batch),
        weights_BT=token_weights(case.batch, config.aggregation, max_length=config.max_length),
    )


def ours(case: Case, config: PolicyLossConfig, advantages_K: Tensor) -> Tensor:
    forward = batch_logprobs(
        case.model, case.batch, temperature=TEMPERATURE, entropy=config.entropy_coef > 0
    )
    tokens = forward.tokens
    batch = weighed(case, config, advantages_K)
    return policy_loss(config, batch, tokens.logprobs_BT, entropy_BT=tokens.entropy_BT).loss


def assert_same(
    case: Case, loss: Tensor, reference: Tensor, expected: Tensor | None = None
) -> None:
    assert loss.item() == pytest.approx(reference.item(), rel=1e-5)
    expected = case.reference_gradient(reference) if expected is None else expected
    assert expected.norm() > 1e-4
    # Advantages and weights are float32: entries that nearly cancel are good to the largest's
    # digits.
    atol = 1e-6 * expected.abs().max().item()
    torch.testing.assert_close(case.gradient(loss), expected, rtol=1e-5, atol=atol)


def test_every_setting_has_a_reference() -> None:
    assert set(REFERENCES) == set(ALGORITHMS)


@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_loss_and_gradient_equal_the_loops(case: Case, name: str) -> None:
    config, advantage = ALGORITHMS[name].loss, ALGORITHMS[name].advantage
    if name.startswith("gspo"):
        config = as_published(ALGORITHMS[name]).loss
    if name == "dr_grpo":
        config = config.model_copy(update={"max_length": 16})
    match name:
        case "reinforce_pp":
            assign_whitened_returns(case)
        case "reinforce_pp_baseline":
            members = per_group(case, centred)
            mean_, std = statistics.mean(members.values()), statistics.stdev(members.values())
            assign(case, {i: (a - mean_) / (std + 1e-6) for i, a in members.items()})
        case "rloo":
            assign(case, per_group(case, against_others))
        case "dr_grpo":
            assign(case, per_group(case, centred))
        case _:
            assign(case, per_group(case, z_score))
    # PPO's advantages come from a critic; any will do for its loss.
    estimator = advantage or ALGORITHMS["grpo"].advantage
    assert estimator is not None
    advantages_K = turn_advantages(case.table, estimator)
    assert_same(case, ours(case, config, advantages_K), REFERENCES[name](case))


def test_the_clips_and_the_cap_are_at_work(case: Case) -> None:
    config = ALGORITHMS["arpo"].loss.model_copy(update={"dual_clip": 1.01})
    batch = weighed(case, config, 3 * turn_advantages(case.table, _z(case)))
    tokens = batch_logprobs(case.model, case.batch, temperature=TEMPERATURE).tokens
    figures = policy_loss(config, batch, tokens.logprobs_BT).metrics.summary()
    for name in ("loss/clip_fraction", "loss/dual_clip_fraction", "drift/rho_capped_fraction"):
        assert 0 < figures[name] < 1, name


def _z(case: Case):
    advantage = ALGORITHMS["grpo"].advantage
    assert advantage is not None
    return advantage


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
@pytest.mark.parametrize("kl_ratio", [False, True])
def test_divergence_and_entropy_equal_the_loops(case: Case, estimator: str, kl_ratio: bool) -> None:
    config = PolicyLossConfig.model_validate(
        {"kl_coef": 0.3, "kl_estimator": estimator, "kl_ratio": kl_ratio, "entropy_coef": 0.2}
    )
    assign(case, per_group(case, z_score))
    terms: list[Tensor] = []
    for token in everything(case):
        x = token.ref - token.logp
        kl = {"k1": -x, "k2": x**2 / 2, "k3": torch.exp(x) - 1 - x}[estimator]
        if kl_ratio:
            kl = kl * torch.exp(token.logp - token.old)
        term = -truncated(token) * ppo_term(token) + 0.3 * kl - 0.2 * token.entropy
        terms.append(term)
    advantages_K = turn_advantages(case.table, _z(case))
    assert_same(case, ours(case, config, advantages_K), mean(terms))


@pytest.mark.parametrize("level", ["none", "token", "sequence", "geometric"])
@pytest.mark.parametrize("action", ["truncate", "mask", "reject"])
def test_mismatch_corrections_equal_the_loops(case: Case, level: str, action: str) -> None:
    low, high = 0.7, 1.5
    correction = CorrectionConfig.model_validate(
        {"level": level, "action": action, "low": low, "high": high}
    )
    assign(case, per_group(case, z_score))
    terms: list[Tensor] = []
    for turns in case.tokens.values():
        tokens = flat(turns)
        logs = [token.old - token.mu for token in tokens]
        for token, log in zip(tokens, logs, strict=True):
            rho = {
                "none": 1.0,
                "token": math.exp(log),
                "sequence": math.exp(sum(logs)),
                "geometric": math.exp(sum(logs) / len(logs)),
            }[level]
            inside = low <= rho <= high
            weight = {
                "truncate": min(max(rho, low), high),
                "mask": rho if inside else 0.0,
                "reject": 1.0 if inside else 0.0,
            }[action]
            terms.append(-weight * ppo_term(token))
    advantages_K = turn_advantages(case.table, _z(case))
    config = PolicyLossConfig(correction=correction)
    assert_same(case, ours(case, config, advantages_K), mean(terms))


@pytest.mark.parametrize("clip", [None, 0.2])
def test_value_loss_equals_the_loops(case: Case, clip: float | None) -> None:
    """The critic is a linear head on the hidden states; a value stands at the token it precedes."""
    torch.manual_seed(1)
    head = torch.nn.Linear(16, 1, dtype=torch.float64)
    forward = batch_logprobs(case.model, case.batch)
    before_BT = forward.packed.unpack(head(forward.hidden_1PH).squeeze(-1))
    values_BT = torch.roll(before_BT, 1, dims=1)
    old_BT = values_BT.detach() + 0.3 * torch.randn_like(values_BT)
    returns_BT = values_BT.detach() + torch.randn_like(values_BT)
    batch = replace(
        case.batch,
        values_old_BT=old_BT,
        returns_BT=returns_BT,
        weights_BT=token_weights(case.batch, PolicyLossConfig().aggregation),
    )
    loss = value_loss(batch, values_BT, clip=clip)

    terms: list[Tensor] = []
    for row in range(len(batch)):
        ids = batch.input_ids_BT[row, : batch.lengths_B[row]]
        hidden_TH = case.model.get_decoder()(input_ids=ids[None]).last_hidden_state[0]
        for t in range(len(ids)):
            if batch.mask_BT[row, t]:
                value, target = head(hidden_TH[t - 1])[0], returns_BT[row, t]
                error = (value - target) ** 2
                if clip is not None:
                    old = old_BT[row, t]
                    held = (old + (value - old).clamp(-clip, clip) - target) ** 2
                    error = held if held > error else error
                terms.append(0.5 * error)
    reference = mean(terms)
    assert_same(case, loss.loss, reference, case.gradient(reference))
    assert int(loss.tokens) == len(terms)
    assert (int(loss.clipped) > 0) == (clip is not None)
