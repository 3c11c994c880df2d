"""`Decoder`: continuous batching over slots, one forward pass per step.

A slot holds one episode's ids and their keys and values, and keeps them after the answer, so the
next turn reads only what is new. In every step each busy slot reads what its keys and values lack:
a slot that decodes lacks the one id sampled last, a slot that got a prompt lacks many; new requests
join at any step. Where slots run out, the episode that was idle longest loses its keys and simply
reads its prompt again. An episode without a slot copies the longest prefix that another slot shares
with it (a group's common prompt is read once).

Not thread-safe: one thread owns it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from agentgym.chat_template import ChatTemplate, Ids
from agentgym.policies._kv_slots import KVSlots, make_plan
from agentgym.policies._sampler import sample, uniforms
from agentgym.policies._stops import StopStrings
from agentgym.policies._vision import SlotVision, View
from agentgym.policy import Completion, FinishReason, Sampling

# A shared prefix shorter than this is read, not copied.
_WORTH_COPYING = 16


@dataclass(slots=True, eq=False)
class Job:
    """One request on its way.

    Attributes:
        episode: Which episode asks.
        prompt: The whole prompt, shape (T,), as slots hold it.
        sampling: How to sample.
        seed: Of this request's random numbers.
        limit: Most ids to sample.
        view: What the prompt shows, for a model that sees.
        version: The weights that sampled the first id.
        cancelled: Set by the caller; the job is dropped at the next step.
        completion: The answer, once there is one.
    """

    episode: str
    prompt: Ids
    sampling: Sampling
    seed: int
    limit: int
    view: View | None = None
    version: int = 0
    cancelled: bool = False
    completion: Completion | None = None


@dataclass(slots=True)
class GenerationStats:
    """Counters since the start.

    Attributes:
        forward_passes: Calls of the model.
        sampled_ids: Ids that were sampled.
        read_ids: Ids that were read, sampled ones included.
        reused_ids: Prompt ids whose keys and values were there already.
        evictions: Slots taken from an episode that had not been released.
    """

    forward_passes: int = 0
    sampled_ids: int = 0
    read_ids: int = 0
    reused_ids: int = 0
    evictions: int = 0


class Decoder:
    """Samples answers to prompts.

    Args:
        model: A causal language model that attends through `_kv_slots.attend`, in eval mode.
        template: Decodes ids.
        stop_ids: Ids that end an answer.
        slots: How many episodes are held at once.
        max_length: Most ids of prompt and answer together.
        prefill_ids: Most prompt ids per forward pass; longer prompts are read over several.
        vision: Reads slots that show images; None for a model that doesn't see.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        template: ChatTemplate,
        *,
        stop_ids: Sequence[int],
        slots: int,
        max_length: int,
        prefill_ids: int,
        vision: SlotVision | None = None,
    ) -> None:
        vocabulary = int(model.config.get_text_config().vocab_size)
        self.stats = GenerationStats()
        self._model, self._template = model, template
        self._vision = vision
        self._prefill_ids = prefill_ids
        self._is_stop = np.zeros(vocabulary, np.bool_)
        self._is_stop[[token for token in stop_ids if token < vocabulary]] = True
        self._stops = StopStrings(template, vocabulary)
        self._kv = KVSlots(slots, max_length)
        self._waiting: deque[Job] = deque()
        # What each slot holds: ids, how many of them are known, and how many have keys and values.
        self._tokens = np.zeros((slots, max_length), np.int32)
        self._logprobs = np.zeros((slots, max_length), np.float32)
        self._known = np.zeros(slots, np.int64)
        self._held = np.zeros(slots, np.int64)
        # Whose it is, and what it is doing.
        self._owner: list[str | None] = [None] * slots
        self._slot_of: dict[str, int] = {}
        self._jobs: list[Job | None] = [None] * slots
        self._busy = np.zeros(slots, np.bool_)
        self._used = np.zeros(slots, np.int64)
        self._clock = 0
        # The busy slots' sampling, as vectors.
        self._seed = np.zeros(slots, np.uint64)
        self._temperature = np.ones(slots, np.float32)
        self._top_p = np.ones(slots, np.float32)
        self._top_k = np.zeros(slots, np.int64)
        self._end = np.zeros(slots, np.int64)
        self._has_stops = np.zeros(slots, np.bool_)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._waiting and not self._busy.any()

    def add(self, job: Job) -> None:
        """Queue a job."""
        self._waiting.append(job)

    def forget(self, episode: str) -> None:
        """Give up an episode's slot. Its keys stay until the slot is needed, for others to copy."""
        slot = self._slot_of.pop(episode, None)
        if slot is not None:
            self._owner[slot] = None

    @property
    def slots(self) -> int:
        """How many episodes are held at once."""
        return self._kv.slots

    def invalidate(self) -> None:
        """Drop all keys and values, since the weights changed; what is under way is read again."""
        self._held[:] = 0
        if self._vision is not None:
            self._vision.invalidate()
        if not self._slot_of:
            # Nobody holds a slot: forget who had which, so that what comes next doesn't depend on
            # it.
            self._known[:] = self._used[:] = 0
            self._clock = 0

    def abandon(self) -> list[Job]:
        """Drop every job, free every slot of its episode and content, and return the jobs."""
        jobs = [*self._waiting, *(job for job in self._jobs if job is not None)]
        self._waiting.clear()
        self._jobs = [None] * len(self._jobs)
        self._busy[:] = False
        # Nothing is left in a slot that would be worth keeping for its episode.
        self._owner = [None] * len(self._owner)
        self._slot_of.clear()
        self.invalidate()
        return jobs

    def step(self, version: int) -> list[Job]:
        """Run one forward pass and return the jobs that it finished.

        Args:
            version: The weights' version, for answers that start now.
        """
        self._admit(version)
        slots = np.flatnonzero(self._busy)
        if not len(slots):
            return []
        lacking = self._known[slots] - self._held[slots]
        takes = self._share(slots, lacking)
        order = np.lexsort((slots, takes))[np.count_nonzero(takes == 0) :]
        slots, takes, lacking = slots[order], takes[order], lacking[order]
        starts = self._held[slots]
        self._kv.reserve(int((starts + takes).max()))
        logits_RV = self._forward(slots, starts, takes, takes == lacking)
        self._held[slots] += takes
        self.stats.forward_passes += 1
        self.stats.read_ids += int(takes.sum())
        complete = slots[takes == lacking]
        return self._sample(complete, logits_RV) if len(complete) else []

    def _share(
        self, slots: npt.NDArray[np.int64], lacking: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Say how many ids each slot reads now: decoding always, prompts by order of arrival."""
        prompts = lacking > 1
        if lacking[prompts].sum() <= self._prefill_ids:
            return lacking
        takes = lacking.copy()
        left = self._prefill_ids
        for k in np.flatnonzero(prompts)[np.argsort(self._used[slots[prompts]], kind="stable")]:
            takes[k] = min(takes[k], left)
            left -= takes[k]
        return takes

    def _forward(
        self,
        slots: npt.NDArray[np.int64],
        starts: npt.NDArray[np.int64],
        takes: npt.NDArray[np.int64],
        complete: npt.NDArray[np.bool_],
    ) -> torch.Tensor:
        """Read ids and return the logits after each complete read, (R, V)."""
        device = self._model.device
        plan = make_plan(self._kv, self._tokens, slots, starts, takes, device)
        last = plan.last_R if complete.all() else plan.last_R[torch.from_numpy(complete).to(device)]
        if self._vision is not None:
            return self._vision.logits(plan, last)
        output = self._model(
            input_ids=plan.ids_N[None],
            position_ids=plan.positions_N[None],
            use_cache=False,
            logits_to_keep=last,
            slot_plan=plan,
        )
        logits_RV = output.logits[0]
        # A few architectures compute all logits whatever is asked for.
        return logits_RV if len(logits_RV) == len(last) else logits_RV[last]

    def _sample(self, slots: npt.NDArray[np.int64], logits_RV: torch.Tensor) -> list[Job]:
        device = logits_RV.device
        at = self._known[slots]
        top_k, top_p = self._top_k[slots], self._top_p[slots]
        sampled = sample(
            logits_RV,
            torch.from_numpy(uniforms(self._seed[slots], at)).to(device),
            torch.from_numpy(self._temperature[slots]).to(device),
            torch.from_numpy(top_k).to(device),
            torch.from_numpy(top_p).to(device),
            truncates=bool(top_k.any() or (top_p < 1).any()),
        )
        ids = sampled.ids_R.cpu().numpy()
        self._tokens[slots, at] = ids
        self._logprobs[slots, at] = sampled.logprobs_R.cpu().numpy()
        self._known[slots] = at + 1
        self.stats.sampled_ids += len(slots)
        stopped = self._is_stop[ids]
        ended = stopped | (at + 1 >= self._end[slots])
        answers: list[tuple[int, str, FinishReason]] = []
        for k in np.flatnonzero(ended | self._has_stops[slots]):
            slot, text = int(slots[k]), None
            job = self._jobs[slot]
            assert job is not None
            answer = self._tokens[slot, len(job.prompt) : at[k] + 1]
            if not stopped[k] and self._stops.may_complete(int(ids[k]), job.sampling.stop):
                text = self._stops.cut(answer, job.sampling.stop)
            if ended[k] or text is not None:
                finish = (
                    FinishReason.LENGTH if text is None and not stopped[k] else FinishReason.STOP
                )
                if text is None:
                    text = self._template.decode(answer[:-1] if stopped[k] else answer)
                answers.append((slot, text, finish))
        # Only now that nothing can fail any more: a finished job is out of reach of `abandon`.
        return [self._finish(*answer) for answer in answers]

    def _finish(self, slot: int, text: str, finish: FinishReason) -> Job:
        job = self._jobs[slot]
        assert job is not None
        part = slice(len(job.prompt), int(self._known[slot]))
        job.completion = Completion(
            text=text,
            ids=self._tokens[slot, part].copy(),
            logprobs=self._logprobs[slot, part].copy(),
            finish=finish,
            policy_version=job.version,
        )
        self._vacate(slot)
        return job

    def _vacate(self, slot: int) -> None:
        self._jobs[slot] = None
        self._busy[slot] = False
        self._clock += 1
        self._used[slot] = self._clock

    # Who gets which slot.

    def _admit(self, version: int) -> None:
        for slot in np.flatnonzero(self._busy):
            job = self._jobs[slot]
            if job is not None and job.cancelled:
                self._vacate(int(slot))
        passed_over = 0
        for _ in range(len(self._waiting)):
            if self._busy.all():
                break
            # In the line until it is seated, so that a fault on the way doesn't lose it.
            job = self._waiting[0]
            settled = job.cancelled or self._place(job, version)
            self._waiting.popleft()
            if not settled:
                self._waiting.append(job)
                passed_over += 1
        self._waiting.rotate(passed_over)  # they came first, and go on first

    def _place(self, job: Job, version: int) -> bool:
        """Give a job a slot; False where it has to wait."""
        own = self._slot_of.get(job.episode)
        if own is not None and self._busy[own]:
            own = None
        if own is None and self._busy.all():
            return False
        reuse = 0
        if own is not None:
            known = self._tokens[own, : min(len(job.prompt), int(self._held[own]))]
            reuse = _common(known, job.prompt)
        donor = -1
        if reuse < _WORTH_COPYING:
            donor, shared = self._donor(job.prompt)
            if donor >= 0 and shared > self._held[donor]:
                return False  # its owner is reading that prefix right now; copy it a step later
            donor, reuse = (donor, shared) if shared > reuse else (-1, reuse)
        slot = self._free_slot(avoid=donor) if own is None else own
        if slot is None:
            return False
        if donor >= 0:
            # The last id of the prompt is always read: its logits are what the answer starts from.
            reuse = min(reuse, len(job.prompt) - 1)
            if donor != slot:
                self._kv.copy(donor, slot, reuse)
        self._seat(job, slot, min(reuse, len(job.prompt) - 1), version)
        return True

    def _seat(self, job: Job, slot: int, reuse: int, version: int) -> None:
        previous = self._owner[slot]
        if previous != job.episode:
            if previous is not None:
                del self._slot_of[previous]
                self.stats.evictions += 1
            self._owner[slot] = job.episode
            old = self._slot_of.get(job.episode)
            if old is not None:
                self._owner[old] = None
            self._slot_of[job.episode] = slot
        length = len(job.prompt)
        self._tokens[slot, :length] = job.prompt
        self._known[slot], self._held[slot] = length, reuse
        if self._vision is not None and job.view is not None:
            self._vision.seat(slot, job.view)
        self.stats.reused_ids += reuse
        job.version = version
        self._jobs[slot] = job
        self._busy[slot] = True
        self._clock += 1
        self._used[slot] = self._clock
        sampling = job.sampling
        self._seed[slot] = np.uint64(job.seed % 2**64)
        self._temperature[slot] = sampling.temperature
        self._top_p[slot], self._top_k[slot] = sampling.top_p, sampling.top_k
        self._end[slot] = length + job.limit
        self._has_stops[slot] = bool(sampling.stop)

    def _donor(self, prompt: Ids) -> tuple[int, int]:
        """Return the slot that shares the longest prefix, and its length; (-1, 0) if too short.

        The prefix of a busy slot may reach beyond its keys: they are on their way.
        """
        same = self._tokens[:, : len(prompt)] == prompt
        shared = np.where(same.all(1), len(prompt), same.argmin(1))
        shared = np.minimum(shared, np.where(self._busy, self._known, self._held))
        donor = int(shared.argmax())
        return (donor, int(shared[donor])) if shared[donor] >= _WORTH_COPYING else (-1, 0)

    def _free_slot(self, avoid: int) -> int | None:
        """Return an idle slot: one that nobody owns if there is one, and then the longest idle."""
        idle = np.flatnonzero(~self._busy)
        if not len(idle):
            return None
        owned = np.array([self._owner[slot] is not None for slot in idle])
        best = np.lexsort((self._used[idle], idle == avoid, owned))
        return int(idle[best[0]])


def _common(left: Ids, right: Ids) -> int:
    """Return the length of the longest common prefix."""
    size = min(len(left), len(right))
    differ = np.flatnonzero(left[:size] != right[:size])
    return int(differ[0]) if len(differ) else size
