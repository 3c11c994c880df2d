"""Ids, options, wrappers and entry points."""

from functools import partial
from importlib.metadata import EntryPoint
from typing import Any

import gymnasium
import pytest
import toy_envs
from gymnasium.wrappers import TransformReward

import agentgym
from agentgym import registry
from agentgym.errors import MissingDependencyError, UnknownNameError, UsageError


def test_make_is_gymnasiums_make() -> None:
    ours, theirs = agentgym.make(toy_envs.COUNTER), gymnasium.make(toy_envs.COUNTER)
    assert type(ours) is type(theirs) is toy_envs.Counter
    assert ours.reset(seed=5) == theirs.reset(seed=5)


def test_registered_ids_are_listed() -> None:
    assert {toy_envs.COUNTER, toy_envs.MOODY} <= set(agentgym.list_envs())
    assert agentgym.list_envs() == sorted(agentgym.list_envs())


@pytest.mark.parametrize(
    "env_id", ["Garden-v0", "acme/Garden", "acme/Garden-vx", "/Garden-v0", "a b/Garden-v0", ""]
)
def test_a_malformed_id_is_refused(env_id: str) -> None:
    with pytest.raises(UsageError, match="namespace/Name-vN"):
        agentgym.register(env_id, "toy_envs:Counter")


def test_an_id_is_taken_once() -> None:
    with pytest.raises(UsageError, match="registered already"):
        agentgym.register(toy_envs.COUNTER, "toy_envs:Moody")
    with pytest.raises(UsageError, match="registered already"):
        agentgym.register(toy_envs.COUNTER, "toy_envs:Counter", visual=True)
    agentgym.register(toy_envs.COUNTER, "toy_envs:Counter")  # the same again


def test_unknown_ids_and_options_are_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'toy/Counter-v0'"):
        agentgym.make("toy/Countr-v0")
    with pytest.raises(UnknownNameError) as fault:
        agentgym.make(toy_envs.COUNTER, colour="red")
    assert str(fault.value) == (
        "There is no option of toy/Counter-v0 'colour'; known: action_format, expert, image_shape, "
        "instructions, max_turns, render_mode, visual."
    )


@pytest.mark.parametrize(
    ("option", "near"), [("visul", "visual"), ("max_turn", "max_turns"), ("experts", "expert")]
)
def test_the_nearest_option_is_named_wherever_it_is_declared(option: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=f"'{option}'; did you mean '{near}'"):
        agentgym.make(toy_envs.COUNTER, **{option: True})


class Careless(toy_envs.Counter):
    def __init__(self, *, loud: bool = False) -> None:
        super().__init__(loud=loud)


def careless(loud: bool = False) -> toy_envs.Counter:
    return toy_envs.Counter(volume=loud)


@pytest.mark.parametrize("made_by", [Careless, careless])
def test_an_environments_own_bug_is_not_the_callers(made_by: Any) -> None:
    gymnasium.register("acme/Careless-v0", made_by)
    try:
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            agentgym.make("acme/Careless-v0", loud=True)
        with pytest.raises(UnknownNameError, match="'lound'; did you mean 'loud'"):
            agentgym.make("acme/Careless-v0", lound=True)
    finally:
        gymnasium.registry.pop("acme/Careless-v0")


def test_wrappers_go_on_inside_out() -> None:
    double = partial(TransformReward, func=lambda reward: 2 * reward)
    plus_one = partial(TransformReward, func=lambda reward: reward + 1)
    env: Any = agentgym.make(toy_envs.COUNTER, wrappers=[double, plus_one], expert=True)
    _, info = env.reset(seed=0)
    assert env.step(info["expert_action"])[1] == 3.0


def _offer(monkeypatch: pytest.MonkeyPatch, *points: EntryPoint) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [*points])
    registry._points.cache_clear()


def test_installed_environments_register_and_a_bad_one_harms_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good, bad = "acme/Meadow-v0", "no id at all"
    _offer(
        monkeypatch,
        *(EntryPoint(name, "toy_envs:Counter", registry.ENV_GROUP) for name in (bad, good)),
    )
    try:
        with pytest.warns(UserWarning, match="no id at all"):
            registry.register_installed()
        assert good in agentgym.list_envs()
        assert isinstance(agentgym.make(good), toy_envs.Counter)
    finally:
        gymnasium.registry.pop(good)
        registry._ours.discard(good)


def test_a_catalogue_loads_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = registry.Catalogue("tool", "acme.tools")
    _offer(
        monkeypatch,
        EntryPoint("counter", "toy_envs:Counter", "acme.tools"),
        EntryPoint("broken", "no_such_module_anywhere:thing", "acme.tools"),
    )
    try:
        assert catalogue.names() == ["broken", "counter"]
        assert catalogue.load("counter") is toy_envs.Counter
        with pytest.raises(UnknownNameError, match="There is no tool 'countr'"):
            catalogue.load("countr")
        with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
            catalogue.load("broken")
    finally:
        registry._points.cache_clear()


def test_a_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._EXTRAS, "no_such_module_anywhere", "train")
    agentgym.register("acme/Heavy-v0", "no_such_module_anywhere:Heavy")
    try:
        with pytest.raises(MissingDependencyError, match=r"agentgym-suite\[train\]"):
            agentgym.make("acme/Heavy-v0")
    finally:
        gymnasium.registry.pop("acme/Heavy-v0")
        registry._ours.discard("acme/Heavy-v0")
