"""`TransformersPolicy`: any Hugging Face causal language model, answering in this process.

Those of the Qwen-VL family read the images of an episode too (`_vision`).

Requests are batched as they arrive and join while others decode; an episode keeps its keys and
values from turn to turn (`_decoder`, `_kv_slots`, `_sampler`). A thread of its own runs the model,
so the event loop stays free. The weights are the very tensors of the model that was passed in: what
a trainer changes, inside `updating()`, is what the next id is sampled from, and there is nothing to
synchronise.
"""

import asyncio
import atexit
import contextlib
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from transformers import PreTrainedModel

from agentgym.chat_template import ChatTemplate
from agentgym.errors import (
    AgentGymError,
    InfraError,
    PolicyError,
    TimeLimitError,
    UsageError,
)
from agentgym.images import ImageProcessor
from agentgym.models.vision import check_processor, load_image_processor, sees
from agentgym.policies._checkpoint import (
    load_model,
    longest_context,
    serving_twin,
    stop_ids_of,
)
from agentgym.policies._decoder import Decoder, GenerationStats, Job
from agentgym.policies._vision import SlotVision
from agentgym.policy import Completion, Request
from agentgym.tokenizer import Tokenizer

_log = logging.getLogger(__name__)

_STOP_SECONDS = 60.0


@dataclass(slots=True, eq=False)
class _Call:
    """One `generate`, waiting for its jobs."""

    loop: asyncio.AbstractEventLoop
    done: "asyncio.Future[None]"
    missing: int


class TransformersPolicy:
    """A local language model.

    Args:
        model: A loaded causal language model (its parameters are shared, not copied; wrap it for
            LoRA before), or the folder or id of one.
        tokenizer: Its tokenizer; from the same folder if None.
        slots: How many episodes keep their keys and values, and decode at once.
        max_length: Most ids of prompt and answer together; what the model was made for if None.
        prefill_ids: Most prompt ids per forward pass.
        gather_seconds: How long the first request of a batch waits for others.
        threads: CPU threads per operation; as the caller of `generate` has them if None. A tiny
            model is served best with 1: environments take the other cores, and a thread that is
            kept off its core holds up every operation.
        device: Where a model that is loaded here goes.
        dtype: Precision of a model that is loaded here, such as `torch.bfloat16`; the checkpoint's
            own if None.
        template_options: Variables of the chat template, such as {"enable_thinking": False}.
        observation_role: See `ChatTemplate`.
        force_append: See `ChatTemplate`.
        image_processor: Of a loaded model of the Qwen-VL family; from the same folder where the
            model comes from one.
        seed: Seeds the requests that bring no seed.

    Raises:
        DataError: If the folder holds no such model.
        UsageError: If the model can't be served this way; the message says why.
    """

    wants_expert: str | None = None

    def __init__(
        self,
        model: PreTrainedModel | str | Path,
        tokenizer: Tokenizer | None = None,
        *,
        slots: int = 64,
        max_length: int | None = None,
        prefill_ids: int = 2048,
        gather_seconds: float = 0.001,
        threads: int | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        template_options: Mapping[str, Any] | None = None,
        observation_role: str = "user",
        force_append: bool = False,
        image_processor: ImageProcessor | None = None,
        seed: int = 0,
    ) -> None:
        if slots < 1 or prefill_ids < 1:
            raise UsageError(
                f"slots and prefill_ids are at least 1; got {slots} and {prefill_ids}."
            )
        if isinstance(model, str | Path):
            name = str(model)
            model, tokenizer = load_model(name, tokenizer, device, dtype)
            if image_processor is None and sees(model):
                image_processor = load_image_processor(name)
        elif tokenizer is None:
            raise UsageError("A loaded model needs its tokenizer; pass tokenizer=.")
        check_processor(model, image_processor)
        self.model = model
        self._template = ChatTemplate(
            tokenizer,
            options=template_options,
            observation_role=observation_role,
            force_append=force_append,
            image_processor=image_processor,
        )
        longest = longest_context(model, tokenizer)
        if max_length is not None and longest is not None and max_length > longest:
            raise UsageError(f"max_length={max_length}, but the model reads at most {longest} ids.")
        self._max_length = max_length or longest or 4096
        twin = serving_twin(model)
        self._vision: SlotVision | None = None
        if image_processor is not None:
            self._vision = SlotVision(
                twin, image_processor, slots=slots, max_length=self._max_length
            )
        self._decoder = Decoder(
            twin,
            self._template,
            stop_ids=sorted(self._template.stop_ids | stop_ids_of(model)),
            slots=slots,
            max_length=self._max_length,
            prefill_ids=prefill_ids,
            vision=self._vision,
        )
        self._gather_seconds = gather_seconds
        self._seed = seed
        self._count = itertools.count()
        self._version = 0
        # Shared with the thread; all guarded by the condition.
        self._wake = threading.Condition()
        self._inbox: deque[Job] = deque()
        self._released: deque[str] = deque()
        self._calls: dict[Job, _Call] = {}
        self._pauses = 0
        self._stepping = False
        self._stale = False
        self._threads = threads
        self._callers_threads = torch.get_num_threads()
        self._closed = False
        self._thread: threading.Thread | None = None

    @property
    def template(self) -> ChatTemplate:
        """How messages become ids."""
        return self._template

    @property
    def episodes_at_once(self) -> int:
        """The slots: more episodes would push each other's keys and values out of them."""
        return self._decoder.slots

    @property
    def context_length(self) -> int:
        """Most ids that prompt and answer may have together."""
        return self._max_length

    @property
    def stats(self) -> GenerationStats:
        """A copy of the counters."""
        return replace(self._decoder.stats)

    @property
    def policy_version(self) -> int:
        """The weights' version. Setting it drops all keys and values: other weights made them."""
        return self._version

    @policy_version.setter
    def policy_version(self, version: int) -> None:
        with self._wake:
            self._version = version
            self._stale = True

    def drop_prefixes(self) -> None:
        """Drop all keys and values, as where what comes next may not depend on what was before."""
        with self._wake:
            self._stale = True

    @contextlib.contextmanager
    def updating(self) -> Generator[None]:
        """Keep the model still while its weights change, and count the version up afterwards.

        Answers that are under way go on with the new weights; their version is the one they started
        with.

        Raises:
            TimeLimitError: If a forward pass doesn't end.
        """
        with self._wake:
            self._pauses += 1
            still = self._wake.wait_for(lambda: not self._stepping, timeout=_STOP_SECONDS)
        try:
            if not still:
                raise TimeLimitError("pause", "generation", _STOP_SECONDS)
            yield
            self.policy_version += 1
        finally:
            with self._wake:
                self._pauses -= 1
                self._wake.notify_all()

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer the requests, in order. Cancelling the call frees their slots.

        Raises:
            PolicyError: If a prompt has no ids or fills the context, or the policy is closed.
            DataError: If a prompt's images are not those that its placeholders stand for.
            InfraError: If the model failed (out of memory, a lost device).
        """
        jobs = [self._job(request) for request in requests]
        if not jobs:
            return []
        if self._vision is not None:
            # Hashing and resizing pixels would hold up the event loop.
            await asyncio.to_thread(self._look, jobs, requests)
        loop = asyncio.get_running_loop()
        call = _Call(loop, loop.create_future(), len(jobs))
        with self._wake:
            if self._closed:
                raise PolicyError("This policy is closed.")
            for job in jobs:
                self._calls[job] = call
            self._inbox.extend(jobs)
            self._callers_threads = torch.get_num_threads()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="agentgym-model", daemon=True
                )
                self._thread.start()
                # Not a finalizer: the thread keeps the policy alive until it is closed.
                atexit.register(self._leave)
            self._wake.notify_all()
        try:
            await call.done
        finally:
            for job in jobs:
                job.cancelled = True
                self._calls.pop(job, None)
        return [cast("Completion", job.completion) for job in jobs]

    def release(self, episode: str) -> None:
        """Forget an episode that ended; its slot is the next one to be used again."""
        self._released.append(episode)

    async def close(self) -> None:
        """Stop the thread and fail what is under way."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, _STOP_SECONDS)
            if not self._thread.is_alive():
                atexit.unregister(self._leave)

    def _leave(self) -> None:
        """Stop the thread as the program ends; nobody is left to be told what was under way.

        An interpreter that shuts down ends a thread where it next asks for the lock. In the midst
        of a forward pass that is inside torch's C++, which then aborts the whole process.
        """
        thread = self._thread
        if thread is None or not thread.is_alive():  # a forked child has no threads
            return
        with self._wake:
            self._closed = True
            self._calls.clear()
            self._wake.notify_all()
        thread.join(_STOP_SECONDS)

    def _job(self, request: Request) -> Job:
        prompt = request.prompt_ids
        if prompt is None or not len(prompt):
            raise PolicyError(f"Episode {request.episode} sent a request without prompt ids.")
        room = self._max_length - len(prompt)
        if room < 1:
            raise PolicyError(
                f"A prompt of {len(prompt)} ids leaves no room in a context of {self._max_length}."
            )
        sampling = request.sampling
        if sampling.max_tokens < 1 or sampling.temperature < 0 or not 0 < sampling.top_p <= 1:
            raise UsageError(
                f"max_tokens is at least 1, temperature >= 0, top_p in (0, 1]; got {sampling}."
            )
        seed = (self._seed << 32) + next(self._count) if sampling.seed is None else sampling.seed
        limit = min(sampling.max_tokens, room)
        return Job(request.episode, prompt, sampling, seed, limit)

    def _look(self, jobs: Sequence[Job], requests: Sequence[Request]) -> None:
        assert self._vision is not None
        for job, request in zip(jobs, requests, strict=True):
            job.view = self._vision.view(job.prompt, request.images)
            job.prompt = job.view.ids

    # The thread.

    def _serve(self) -> None:
        with torch.inference_mode():
            while self._await_work():
                finished: list[Job] = []
                fault: Exception | None = None
                # torch keeps the number of threads per calling thread, so this one sets its own.
                threads = self._threads or self._callers_threads
                if torch.get_num_threads() != threads:
                    torch.set_num_threads(threads)
                try:
                    finished = self._decoder.step(self._version)
                except (
                    Exception
                ) as problem:  # whatever the model raises fails its requests, not the thread
                    _log.exception("Generation failed")
                    fault, finished = problem, self._decoder.abandon()
                with self._wake:
                    self._stepping = False
                    self._wake.notify_all()
                self._deliver(finished, fault)
        closing = PolicyError("The policy was closed while it was answering.")
        with self._wake:
            left = [*self._inbox, *self._decoder.abandon()]
        self._deliver(left, closing)

    def _await_work(self) -> bool:
        """Wait until there is a step to run, and take in what has arrived; False once closed."""
        rested = False
        while True:
            with self._wake:
                if self._closed:
                    return False
                if self._inbox and self._decoder.idle and not rested:
                    rested = True  # outside the lock, so that others can get in
                elif self._pauses or (not self._inbox and self._decoder.idle):
                    self._wake.wait(timeout=1.0)
                    continue
                else:
                    self._take_in()
                    self._stepping = True
                    return True
            time.sleep(self._gather_seconds)

    def _take_in(self) -> None:
        while self._released:
            self._decoder.forget(self._released.popleft())
        if self._stale:
            self._decoder.invalidate()
            self._stale = False
        while self._inbox:
            self._decoder.add(self._inbox.popleft())

    def _deliver(self, jobs: Sequence[Job], fault: Exception | None) -> None:
        """Hand results to the event loops, one wake-up per loop."""
        ready: dict[asyncio.AbstractEventLoop, list[_Call]] = {}
        with self._wake:
            for job in jobs:
                call = self._calls.pop(job, None)
                if call is not None:
                    call.missing -= 1
                    if call.missing == 0 or fault is not None:
                        ready.setdefault(call.loop, []).append(call)
        for loop, calls in ready.items():
            with contextlib.suppress(RuntimeError):  # the loop is gone, and nobody waits any more
                loop.call_soon_threadsafe(_resolve, calls, fault)


def _resolve(calls: Sequence[_Call], fault: Exception | None) -> None:
    for call in calls:
        if call.done.done():
            continue
        if fault is None:
            call.done.set_result(None)
        elif isinstance(fault, AgentGymError):
            call.done.set_exception(fault)
        else:
            error = InfraError(f"The model failed: {type(fault).__name__}: {fault}")
            error.__cause__ = fault
            call.done.set_exception(error)
