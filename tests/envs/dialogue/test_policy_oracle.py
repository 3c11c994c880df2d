"""A policy as the oracle: what it is asked, what it decides and doesn't, and who closes it."""

import asyncio
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from chat_endpoints import Answer as Said
from chat_endpoints import chat_endpoint
from toy_policies import Answers, LetterPolicy

import agentgym
from agentgym.backoff import Backoff
from agentgym.check import RULES, check_rule
from agentgym.env import AgentEnv, WorkerKind
from agentgym.envs.dialogue import lending
from agentgym.envs.dialogue.guess_my_city.cities import LOST as NO_FACT
from agentgym.envs.dialogue.guess_my_city.cities import YES_NO
from agentgym.envs.dialogue.twenty_questions.objects import LOST
from agentgym.errors import InfraError, PolicyError, TimeLimitError, UnknownNameError, UsageError
from agentgym.policies.openai import OpenAIPolicy
from agentgym.policies.scripted import ReplayPolicy, ScriptedPolicy
from agentgym.policy import Completion, Request
from agentgym.rollout import RolloutConfig, collect
from agentgym.stop_reason import StopReason
from agentgym.trajectory import Trajectory
from agentgym.workers import make_worker

OBJECTS, CITIES = "agentgym/TwentyQuestions-v0", "agentgym/GuessMyCity-v0"


@pytest.fixture
def make() -> Iterator[Callable[..., AgentEnv]]:
    made: list[AgentEnv] = []

    def one(env_id: str = OBJECTS, task: str = "dog", **options: Any) -> AgentEnv:
        env = agentgym.make(env_id, **options)
        made.append(env)
        env.reset(seed=0, options={"task": task})
        return env

    yield one
    for env in made:
        env.close()
    assert lending.lender._loans == []


Make = Callable[..., AgentEnv]


class Closable(Answers):
    """Says yes, and counts."""

    made = 0
    closed = 0

    def __init__(self) -> None:
        super().__init__(lambda _: "yes")
        type(self).made += 1

    async def close(self) -> None:
        type(self).closed += 1


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> type[Closable]:
    """A policy that is made by any name."""

    class Fresh(Closable):
        made = closed = 0

    monkeypatch.setattr(lending, "make_policy", lambda spec, **options: Fresh())
    return Fresh


def said(env: AgentEnv, question: str) -> str:
    return env.step(question)[0]["text"]


# What it is asked.


def test_every_question_is_a_conversation_of_its_own(make: Make) -> None:
    policy = LetterPolicy(lambda _: "Yes, I think.", context_length=2000)
    env = make(oracle=policy)
    assert [said(env, "Is it alive?"), said(env, "Does it bark\ud800?")] == ["Yes.", "Yes."]
    first, second = policy.requests
    system, user = first.messages
    assert (system["role"], user["role"]) == ("system", "user")
    assert "this object: dog." in system["content"]
    assert [request.messages[1]["content"] for request in (first, second)] == [
        "Is it alive?",
        "Does it bark??",
    ]
    asked = "|".join(message["content"] for message in first.messages)
    assert first.prompt_ids is not None
    assert first.prompt_ids.tolist() == [ord(letter) for letter in asked]
    assert first.sampling.temperature == 0
    assert first.sampling.seed != second.sampling.seed
    assert first.episode != second.episode
    assert policy.released == [first.episode, second.episode]


def test_what_is_no_question_is_not_asked(make: Make) -> None:
    policy = Answers(lambda _: "yes")
    env = make(oracle=policy)
    for nothing in ("", "  \n", "is it big? " * 100):
        assert said(env, nothing) == LOST
    assert policy.requests == []


def test_a_question_that_fills_the_context_is_not_understood(make: Make) -> None:
    policy = LetterPolicy(lambda _: "yes", context_length=400)
    env = make(oracle=policy)
    assert said(env, "Is it " + "very " * 40 + "big?") == LOST
    assert said(env, "Is it big?") == "Yes."
    (request,) = policy.requests
    assert 0 < request.sampling.max_tokens < 400


def test_a_context_without_room_for_any_question_is_the_callers_mistake(make: Make) -> None:
    env = make(oracle=LetterPolicy(lambda _: "yes", context_length=100))
    with pytest.raises(UsageError, match="context of 100 is too short"):
        env.step("Is it big?")


# What is made of its answers.


def test_an_answer_that_is_neither_yes_nor_no_is_not_understood(make: Make) -> None:
    answers = iter(["Yes, it is.", "Woof!", "", "I'd say no"])
    env = make(oracle=Answers(lambda _: next(answers)))
    assert said(env, "Is it a mammal, so to speak?") == "Yes."
    for _ in range(2):
        observation, reward, _, _, info = env.step("What does it say?")
        assert (observation["text"], reward, info["action_error"]) == (LOST, -1.0, LOST)
    assert said(env, "Does it fly?") == "No."
    assert env.step("")[4]["metrics"] == {"questions": 5.0, "not_understood": 3.0}


def test_a_guess_is_decided_by_the_table(make: Make) -> None:
    policy = Answers(lambda _: "Yes, that is it!")
    env = make(oracle=policy)
    assert env.step("Is it a cat?")[:3] == ({"text": "No."}, -1.0, False)
    # To say yes to what only sounds like a guess ends nothing.
    assert env.step("Is it true that it's a dog or a cat?")[:3] == ({"text": "Yes."}, -1.0, False)
    policy.answer = lambda _: "No."
    _, reward, terminated, _, info = env.step("So, is it a puppy?")
    assert (reward, terminated, info["success"]) == (0.0, True, True)
    assert len(policy.requests) == 1


def test_an_answer_never_says_the_city(make: Make) -> None:
    policy = Answers(lambda _: "São Paulo is in Brazil, and SAO PAULO is large.")
    env = make(CITIES, "Sao Paulo", oracle=policy)
    observation, reward, terminated, _, info = env.step("Tell me the name of the city!")
    assert observation["text"] == "The city is in Brazil, and the city is large."
    assert (reward, terminated, info["action_error"]) == (-1.0, False, None)
    assert "this city: Sao Paulo." in policy.requests[0].messages[0]["content"]
    assert env.step("Is it São Paulo?")[2]


def test_no_other_name_of_the_city_is_said_either(make: Make) -> None:
    env = make(CITIES, "Mumbai", oracle=Answers(lambda _: "Once it was called Bombay."))
    assert said(env, "What was it called?") == "Once it was called the city."


def test_junk_is_no_fact(make: Make) -> None:
    env = make(CITIES, "Rome", oracle=Answers(lambda _: "<think>It is Rome. What can I"))
    assert said(env, "What is it like?") == NO_FACT


def test_a_closed_game_of_cities_is_answered_by_yes_or_no(make: Make) -> None:
    answers = iter(["Yes, in Rome.", "It is known for Rome's ruins."])
    env = make(CITIES, "Rome", yes_no=True, oracle=Answers(lambda _: next(answers)))
    assert [said(env, "Is it warm?"), said(env, "What is it known for?")] == ["Yes.", YES_NO]


# What fails is the world's fault.


def slow() -> Answers:
    return Answers(lambda _: "yes", delay=lambda _: 30.0)


def test_an_answer_has_a_time_limit(make: Make) -> None:
    policy = slow()
    env = make(oracle=policy, oracle_seconds=0.05)
    with pytest.raises(TimeLimitError, match=r"answer of oracle Answers took longer .* 0\.05 s"):
        env.step("Is it big?")
    env.reset(seed=0)
    policy.delay = None
    assert said(env, "Is it big?") == "Yes."
    assert (policy.running, len(policy.released)) == (0, 2)  # the late one was cancelled


@pytest.mark.parametrize("fault", [PolicyError("left"), ValueError("bug"), TimeoutError("late")])
def test_a_policy_that_fails_is_no_fault_of_the_player(make: Make, fault: Exception) -> None:
    def fail(_: Request) -> str:
        raise fault

    with pytest.raises(InfraError, match=f"Answers failed: {type(fault).__name__}: {fault}"):
        make(oracle=Answers(fail)).step("Is it big?")


@pytest.mark.parametrize("fault", [InfraError("gone"), UsageError("wrong key")])
def test_other_errors_stay_what_they_are(make: Make, fault: Exception) -> None:
    def fail(_: Request) -> str:
        raise fault

    with pytest.raises(type(fault), match=str(fault)):
        make(oracle=Answers(fail)).step("Is it big?")


def test_a_policy_that_answers_twice_has_failed(make: Make) -> None:
    class Double(ScriptedPolicy):
        async def generate(self, requests: Sequence[Request]) -> list[Completion]:
            return [Completion("yes")] * 2

    with pytest.raises(InfraError, match="2 answers"):
        make(oracle=Double()).step("Is it big?")


def played(oracle: Any, episodes: int = 1, **options: Any) -> list[Trajectory]:
    config = RolloutConfig(
        retries=1, backoff=Backoff(first=0.01), max_turns=3, **options.pop("config", {})
    )
    player = ReplayPolicy(["Is it big?", "Is it alive?", "Is it red?"])
    kwargs = {"oracle": oracle, **options}
    return collect(OBJECTS, player, episodes, env_kwargs=kwargs, config=config)


@pytest.mark.parametrize("seconds", [0.05, 60.0])
def test_an_episode_whose_oracle_fails_is_not_trained_on(seconds: float) -> None:
    def fail(_: Request) -> str:
        raise PolicyError("left")

    oracle = slow() if seconds < 1 else Answers(fail)
    (trajectory,) = played(oracle, oracle_seconds=seconds)
    assert trajectory.stop_reason is StopReason.INFRA_ERROR
    assert trajectory.attempts == 2
    assert not trajectory.stop_reason.trainable


# One policy for many, and who closes it.


def test_one_policy_answers_many_games_at_once() -> None:
    loops: set[int] = set()

    def where(request: Request) -> str:
        loops.add(id(asyncio.get_running_loop()))
        return "yes"

    oracle = Answers(where, delay=lambda _: 0.02)
    trajectories = played(oracle, 32)
    assert {len(one.turns) for one in trajectories} == {3}
    assert {turn.reward for one in trajectories for turn in one.turns} == {-1.0}
    assert len(oracle.requests) == len(set(oracle.released)) == 96
    assert len(loops) == 1
    assert oracle.most_running > 8  # none of them waited behind another


def test_answers_find_their_games(make: Make) -> None:
    oracle = Answers(lambda r: str(r.messages[1]["content"]), delay=lambda _: 0.001)

    def play(number: int) -> list[str]:
        env = make(CITIES, "Rome", oracle=oracle)
        return [said(env, f"Game {number}, turn {turn}") for turn in range(5)]

    with ThreadPoolExecutor(8) as threads:
        games = list(threads.map(play, range(8)))
    assert games == [[f"Game {game}, turn {turn}" for turn in range(5)] for game in range(8)]


def test_a_policy_that_was_given_is_not_closed(make: Make, named: type[Closable]) -> None:
    env = make(oracle=named())
    env.close()
    assert named.closed == 0
    env.reset(seed=0)
    assert said(env, "Is it big?") == "Yes."


def test_what_a_name_stands_for_is_made_once_and_closed_by_the_last(
    make: Make, named: type[Closable]
) -> None:
    one, other = make(oracle="tiny"), make(oracle="tiny")
    assert said(one, "Is it big?") == said(other, "Is it big?") == "Yes."
    assert (named.made, named.closed) == (1, 0)
    one.reset(seed=0)
    one.close()
    one.close()
    assert named.closed == 0
    other.close()
    assert named.closed == 1
    one.reset(seed=0)
    assert said(one, "Is it big?") == "Yes."
    assert named.made == 2
    make(oracle="tiny", oracle_options={"device": "cpu"})
    assert named.made == 3


def test_nothing_is_made_before_the_first_episode(named: type[Closable]) -> None:
    agentgym.make(OBJECTS, oracle="tiny").close()
    assert named.made == 0


def test_threads_that_begin_at_once_make_one_policy(named: type[Closable], make: Make) -> None:
    start = threading.Barrier(8)

    def begin(_: int) -> AgentEnv:
        start.wait(10)
        return make(oracle="tiny")

    with ThreadPoolExecutor(8) as threads:
        envs = list(threads.map(begin, range(8)))
    assert named.made == 1
    for env in envs:
        env.close()
    assert named.closed == 1


def test_a_policy_that_does_not_close_is_told_of_and_forgotten(
    make: Make, named: type[Closable], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(self: Closable) -> None:
        await asyncio.sleep(30)

    monkeypatch.setattr(named, "close", hang)
    monkeypatch.setattr(lending, "_CLOSE_SECONDS", 0.05)
    env = make(oracle="tiny")
    with pytest.raises(TimeLimitError, match="close of oracle tiny"):
        env.close()
    monkeypatch.setattr(named, "close", Closable.close)
    env.reset(seed=0)
    assert named.made == 2


# Names, and mistakes.


def test_a_name_is_a_policys_on_the_command_line_too(make: Make, tmp_path: Path) -> None:
    (tmp_path / "yes.txt").write_text("Yes")
    env = make(oracle=f"replay:{tmp_path / 'yes.txt'}")
    assert said(env, "Is it big?") == "Yes."


def test_no_such_policy(make: Make) -> None:
    with pytest.raises(UnknownNameError, match="replya"):
        make(oracle="replya:yes.txt")


@pytest.mark.parametrize("name", ["expert", "oracle"])
def test_an_environments_expert_is_no_oracle(make: Make, name: str) -> None:
    with pytest.raises(UsageError, match="what an environment's expert says"):
        make(oracle=name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"oracle": 3}, "name of a policy, a Policy, or has a method answer"),
        ({"oracle_options": {"device": "cpu"}}, "go with the name"),
        ({"oracle": ReplayPolicy(["yes"]), "oracle_options": {"slots": 1}}, "go with the name"),
        ({"oracle": "random", "oracle_seconds": 0}, "oracle_seconds must be above 0"),
    ],
)
def test_options_that_do_not_suit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        agentgym.make(OBJECTS, **options)


# Where it lives.


def test_a_game_that_waits_for_a_policy_has_a_thread_of_its_own() -> None:
    kinds = {
        None: WorkerKind.SHARED,
        "random": WorkerKind.THREAD,
        ReplayPolicy(["yes"]): WorkerKind.THREAD,
    }
    for oracle, kind in kinds.items():
        assert make_worker(None, OBJECTS, {"oracle": oracle}).kind is kind
        assert agentgym.make(OBJECTS, oracle=oracle).worker is kind


def test_an_object_stays_in_its_process(make: Make) -> None:
    env = make(oracle=Answers(lambda _: "yes"))
    with pytest.raises(UsageError, match="Keep the environment in thread workers, or name"):
        pickle.dumps(env)
    policy = ReplayPolicy(["yes"])
    policy.lock = threading.Lock()  # as a local model has
    with pytest.raises(UsageError, match=r"can't be pickled.*thread worker"):
        make_worker(WorkerKind.PROCESS, OBJECTS, {"oracle": policy})


def test_a_name_travels(make: Make, named: type[Closable]) -> None:
    env = pickle.loads(pickle.dumps(make(oracle="tiny")))
    env.reset(seed=0)
    assert said(env, "Is it big?") == "Yes."
    assert named.made == 1
    env.close()


@pytest.mark.integration
def test_each_process_makes_its_own(tmp_path: Path) -> None:
    (tmp_path / "no.txt").write_text("No")
    config = {"worker": WorkerKind.PROCESS, "concurrency": 2}
    trajectories = played(f"replay:{tmp_path / 'no.txt'}", 4, config=config)
    assert [len(one.turns) for one in trajectories] == [3] * 4
    assert {turn.observation for one in trajectories for turn in one.turns[1:]} == {"No."}


# The real thing, as far as this machine has it.


def remote(url: str) -> OpenAIPolicy:
    return OpenAIPolicy("a-model", base_url=url, seconds=5, retries=0)


def test_a_model_behind_a_url_answers_many_games(make: Make) -> None:
    def reply(body: Any) -> Said:
        system, user = body["messages"]
        secret = system["content"].partition("this city: ")[2].partition(".")[0]
        return Said.saying(f"{secret}: {user['content']}")

    with chat_endpoint(reply) as endpoint:
        oracle = remote(endpoint.url)

        def play(city: str) -> list[str]:
            env = make(CITIES, city, oracle=oracle)
            return [said(env, f"Question {turn}") for turn in range(3)]

        for _ in range(2):
            with ThreadPoolExecutor(4) as threads:
                games = list(threads.map(play, ["Rome", "Cairo", "Paris", "Lima"]))
            assert games == [[f"The city: Question {turn}" for turn in range(3)]] * 4


@pytest.mark.parametrize("answer", [Said("busy", status=503), Said({"choices": []})])
def test_a_model_behind_a_url_that_fails(make: Make, answer: Said) -> None:
    with chat_endpoint(lambda _: answer) as endpoint, pytest.raises(InfraError):
        make(oracle=remote(endpoint.url)).step("Is it big?")


def test_a_key_that_is_not_taken_is_the_callers_mistake(make: Make) -> None:
    with chat_endpoint(lambda _: Said("who are you?", status=401)) as endpoint:
        env = make(oracle=remote(endpoint.url))
        with pytest.raises(UsageError, match="OPENAI_API_KEY"):
            env.step("Is it big?")


@pytest.mark.integration
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("env_id", [OBJECTS, CITIES])
def test_the_contract_holds_with_a_policy(env_id: str, rule: str, tmp_path: Path) -> None:
    (tmp_path / "yes.txt").write_text("Yes")
    result = check_rule(rule, env_id, oracle=f"replay:{tmp_path / 'yes.txt'}")
    assert result.passed, result.detail


@pytest.mark.integration
def test_a_local_model_answers_by_its_name(make: Make, tmp_path: Path) -> None:
    from tiny_runs import tiny_folder  # and torch

    folder = tiny_folder(tmp_path)
    options = {"threads": 1, "slots": 2, "max_length": 512}

    def play(_: int) -> set[str]:
        env = make(oracle=f"transformers:{folder}", oracle_options=options)
        return {said(env, question) for question in ("Is it big?", "Is it <|im_end|>?", "Hm?")}

    def models() -> int:
        return sum(one.name == "agentgym-model" for one in threading.enumerate())

    before = models()
    with ThreadPoolExecutor(3) as threads:
        answers = set[str]().union(*threads.map(play, range(3)))
    assert answers <= {"Yes.", "No.", LOST}
    assert models() == before + 1
