"""`TurnTable` and `TokenBatch`: what a trainer computes with.

Rewards and group statistics live in the turn table (one row per turn), tokens in the token batch
(one row per training sequence), and turn ids join the two: no reward is ever looked up by a token
position. An episode that the world failed keeps its rows in the table, marked invalid, so that it
is counted; it has no row in the token batch, so that nothing can train on it.

Shape suffixes: B sequences, T tokens, N trajectories, K turns of all trajectories, M action tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from agentgym.env import Image
from agentgym.errors import DataError, UsageError
from agentgym.trajectory import TokenSequence, Trajectory


@dataclass(frozen=True, slots=True)
class TurnTable:
    """Turns in order of trajectory, then turn. Lives on the CPU; rewards are float64.

    Attributes:
        trajectory_K: int64, which trajectory a turn belongs to; non-decreasing.
        turn_K: int64, the turn's index in its trajectory: 0, 1, 2, … without gaps.
        reward_K: float64, what the turn earned.
        wrong_K: bool, True where the turn's action did not parse or could not be done.
        group_N: int64, trajectories with the same number are compared with each other.
        valid_N: bool, False where the episode says nothing about the model
            (`StopReason.trainable`).
        truncated_N: bool, True where a limit cut the episode short, so that values bootstrap.

    Raises:
        DataError: If the turns are not in order.
    """

    trajectory_K: Tensor
    turn_K: Tensor
    reward_K: Tensor
    wrong_K: Tensor
    group_N: Tensor
    valid_N: Tensor
    truncated_N: Tensor

    def __post_init__(self) -> None:
        starts = torch.ones_like(self.trajectory_K, dtype=torch.bool)
        starts[1:] = self.trajectory_K[1:] != self.trajectory_K[:-1]
        expected = torch.where(starts, 0, torch.roll(self.turn_K, 1) + 1)
        ordered = bool((self.trajectory_K.diff() >= 0).all())
        if not (ordered and torch.equal(expected, self.turn_K)):
            raise DataError(
                "The turns of a TurnTable are out of order; sort them by trajectory, then turn, "
                "and number the turns of each trajectory from 0 without gaps."
            )

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory]) -> Self:
        """Return the table of `trajectories`; an empty `group_id` is a group of its own."""
        groups: dict[str, int] = {}
        group_N = [
            groups.setdefault(t.group_id or f"\0{i}", len(groups))
            for i, t in enumerate(trajectories)
        ]
        turns = [(i, k, turn) for i, t in enumerate(trajectories) for k, turn in enumerate(t.turns)]
        return cls(
            trajectory_K=torch.tensor([i for i, _, _ in turns], dtype=torch.int64),
            turn_K=torch.tensor([k for _, k, _ in turns], dtype=torch.int64),
            reward_K=torch.tensor([turn.reward for _, _, turn in turns], dtype=torch.float64),
            wrong_K=torch.tensor([turn.action_error is not None for _, _, turn in turns]),
            group_N=torch.tensor(group_N, dtype=torch.int64),
            valid_N=torch.tensor([t.trainable for t in trajectories], dtype=torch.bool),
            truncated_N=torch.tensor(
                [t.stop_reason.truncates for t in trajectories], dtype=torch.bool
            ),
        )

    def __len__(self) -> int:
        return len(self.reward_K)

    @property
    def valid_K(self) -> Tensor:
        """Whether the turn's trajectory is valid."""
        return self.valid_N[self.trajectory_K]

    @property
    def turns_N(self) -> Tensor:
        """How many turns each trajectory has."""
        return torch.bincount(self.trajectory_K, minlength=len(self.group_N))

    @property
    def first_row_N(self) -> Tensor:
        """The row of each trajectory's first turn."""
        return self.turns_N.cumsum(0) - self.turns_N

    @property
    def last_K(self) -> Tensor:
        """Whether the turn is the last of its trajectory."""
        return self.turn_K == self.turns_N[self.trajectory_K] - 1

    @property
    def outcome_N(self) -> Tensor:
        """The undiscounted sum of each trajectory's rewards, R_i."""
        return self.sum_N(self.reward_K)

    def sum_N(self, values_K: Tensor) -> Tensor:
        """Return the sum over each trajectory's turns."""
        zeros_N = torch.zeros(len(self.group_N), dtype=values_K.dtype)
        return zeros_N.index_add(0, self.trajectory_K, values_K)

    def with_rewards(self, reward_K: Tensor) -> Self:
        """Return the table with other rewards: a penalty, a bonus, a normalised reward."""
        return replace(self, reward_K=reward_K.to(torch.float64))


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Training sequences, padded on the right to the longest.

    All per-token figures stand at the token that they are about: `logprobs_mu_BT[b, t]` is the
    log-probability of `input_ids_BT[b, t]` given everything before it, and a value at t is the
    value of the state in which token t was sampled.

    Attributes:
        input_ids_BT: int64; padding holds any valid id.
        lengths_B: int64, tokens in each sequence without padding.
        mask_BT: bool, True exactly on sampled tokens.
        turn_id_BT: int64, the turn within the trajectory that sampled the token; -1 elsewhere.
        version_BT: int64, the policy version that sampled the token; -1 elsewhere.
        trajectory_B: int64, the trajectory's number in the turn table; several sequences share it
            where the chat template is not append-only.
        actions_B: int64, sampled tokens of the sequence's whole trajectory. It lets a loss notice
            that a micro-batch holds only a part.
        logprobs_mu_BT: float32, log-probabilities under the policy that sampled.
        logprobs_old_BT: The learner's log-probabilities before the update.
        logprobs_ref_BT: The reference policy's.
        values_old_BT: The critic's values before the update.
        advantages_BT: What the policy loss multiplies.
        returns_BT: What the value loss regresses on.
        weights_BT: What each token's loss is multiplied with before summing (`token_weights`).
        images_B: The images of each sequence's observations, in order, for a model that sees.
    """

    input_ids_BT: Tensor
    lengths_B: Tensor
    mask_BT: Tensor
    turn_id_BT: Tensor
    version_BT: Tensor
    trajectory_B: Tensor
    actions_B: Tensor
    logprobs_mu_BT: Tensor
    logprobs_old_BT: Tensor | None = None
    logprobs_ref_BT: Tensor | None = None
    values_old_BT: Tensor | None = None
    advantages_BT: Tensor | None = None
    returns_BT: Tensor | None = None
    weights_BT: Tensor | None = None
    images_B: tuple[tuple[Image, ...], ...] = ()

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory], *, pad_id: int = 0) -> Self:
        """Return the sequences of the trainable `trajectories`, in order.

        Args:
            trajectories: The ones that the turn table was built from, in the same order.
            pad_id: Any id of the vocabulary.

        Raises:
            DataError: If none of the trajectories is trainable.
        """
        kept = [
            (i, sequence)
            for i, trajectory in enumerate(trajectories)
            if trajectory.trainable
            for sequence in trajectory.sequences()
        ]
        return cls.collate([s for _, s in kept], [i for i, _ in kept], pad_id=pad_id)

    @classmethod
    def collate(
        cls, sequences: Sequence[TokenSequence], trajectories: Sequence[int], *, pad_id: int = 0
    ) -> Self:
        """Return a batch of `sequences`; `trajectories[b]` is the trajectory of `sequences[b]`.

        Raises:
            DataError: If there are no sequences, or if one starts with a sampled token.
        """
        if not sequences:
            raise DataError(
                "There is nothing to train on: no trajectory is trainable; "
                "look at the stop reasons and at the errors of the rollout."
            )
        lengths_B = np.array([len(s) for s in sequences], np.int64)
        shape = (len(sequences), int(lengths_B.max()))
        ids_BT = np.full(shape, pad_id, np.int64)
        mask_BT = np.zeros(shape, np.bool_)
        turns_BT = np.full(shape, -1, np.int64)
        versions_BT = np.full(shape, -1, np.int64)
        logprobs_BT = np.zeros(shape, np.float32)
        for b, sequence in enumerate(sequences):
            row = slice(0, len(sequence))
            ids_BT[b, row] = sequence.ids
            mask_BT[b, row] = sequence.mask
            turns_BT[b, row] = sequence.turns
            versions_BT[b, row] = sequence.versions
            logprobs_BT[b, row] = sequence.logprobs
        if mask_BT[:, 0].any():
            raise DataError(
                "A sequence starts with a sampled token, which nothing predicts; "
                "a prompt must hold at least one token, such as the template's first."
            )
        trajectory_B = np.array(trajectories, np.int64)
        actions_N = np.bincount(trajectory_B, weights=mask_BT.sum(1)).astype(np.int64)
        return cls(
            input_ids_BT=torch.from_numpy(ids_BT),
            lengths_B=torch.from_numpy(lengths_B),
            mask_BT=torch.from_numpy(mask_BT),
            turn_id_BT=torch.from_numpy(turns_BT),
            version_BT=torch.from_numpy(versions_BT),
            trajectory_B=torch.from_numpy(trajectory_B),
            actions_B=torch.from_numpy(actions_N[trajectory_B]),
            logprobs_mu_BT=torch.from_numpy(logprobs_BT),
            images_B=tuple(sequence.images for sequence in sequences),
        )

    def __len__(self) -> int:
        return len(self.lengths_B)

    @property
    def shape(self) -> tuple[int, int]:
        """(B, T)."""
        return self.input_ids_BT.shape[0], self.input_ids_BT.shape[1]

    def need(self, name: str) -> Tensor:
        """Return the optional column `name`.

        Raises:
            UsageError: If the batch does not have it yet.
        """
        column: Tensor | None = getattr(self, name)
        if column is None:
            raise UsageError(f"This loss needs {name}, and the batch has none; compute it first.")
        return column

    def at_turn_starts(self) -> Self:
        """Return the batch with the mask cut down to the first sampled token of each turn.

        There a value is that of the last prompt token before the turn: what a turn-level critic
        learns. Call it on a whole batch, not on a micro-batch.
        """
        before_BT = torch.roll(self.turn_id_BT, 1, dims=1)
        mask_BT = self.mask_BT & (self.turn_id_BT != before_BT)
        starts_N = torch.bincount(self.trajectory_B, weights=mask_BT.sum(1).double())
        return replace(self, mask_BT=mask_BT, actions_B=starts_N.to(torch.int64)[self.trajectory_B])

    def select(self, rows: Sequence[int]) -> Self:
        """Return the batch of these sequences, cropped to the longest of them."""
        index = torch.tensor(rows, dtype=torch.int64, device=self.lengths_B.device)
        longest = int(self.lengths_B[index].max())
        columns = {name: column[index] for name, column in self._columns().items()}
        cropped = {n: c[:, :longest] if c.ndim > 1 else c for n, c in columns.items()}
        images_B = tuple(self.images_B[row] for row in rows) if self.images_B else ()
        return replace(self, **cropped, images_B=images_B)

    def to(self, device: torch.device | str) -> Self:
        """Return the batch on `device`."""
        moved = {n: c.to(device, non_blocking=True) for n, c in self._columns().items()}
        return replace(self, **moved)

    def _columns(self) -> dict[str, Tensor]:
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: column for name, column in columns.items() if isinstance(column, Tensor)}
