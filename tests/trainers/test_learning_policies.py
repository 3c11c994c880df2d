"""Who samples from the model that learns is a setting, and needs no class of ours."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
from tiny_runs import ON_POLICY, make_trainer, tiny_folder
from toy_learning_policy import Elsewhere

from agentgym import LearningPolicy, registry
from agentgym.errors import ConfigError, UnknownNameError
from agentgym.store import Store


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install `Elsewhere` as a package of somebody else's would."""
    found, group = registry._points, registry.policies.group
    points = {
        name: EntryPoint(name, f"toy_learning_policy:{name.title()}", group)
        for name in ("elsewhere", "deaf")
    }
    monkeypatch.setattr(registry, "_points", lambda of: found(of) | (points if of == group else {}))


@pytest.mark.parametrize("algorithm", ["grpo", "archer"])
def test_a_policy_of_somebody_elses_samples_for_a_trainer(
    algorithm: str, model: Path, tmp_path: Path
) -> None:
    chosen = ("policy.kind=elsewhere", "policy.options={shards: 2}")
    base = ON_POLICY | {"rollout": {"deterministic": True}}
    if algorithm == "archer":
        base |= {"critic": {"steps": 1, "batch_size": 4}, "actor": {"steps": 1, "batch_size": 4}}
    trainer = make_trainer(algorithm, model, tmp_path / "run", base, *chosen)
    policy = trainer.policy
    assert isinstance(policy, Elsewhere)
    assert isinstance(policy, LearningPolicy)
    assert policy.shards == 2
    assert policy.settings["slots"] == 6
    trainer.train()
    assert policy.calls.count("generate") > 2
    assert policy.calls[-1] == "close"
    assert policy.policy_version == policy.calls.count("update") == 2
    versions = {turn.policy_version for t in Store.open(tmp_path / "run") for turn in t.turns}
    assert versions == {0, 1}


def test_a_resumed_run_tells_the_policy_its_weights_and_version(
    model: Path, tmp_path: Path
) -> None:
    given = ("policy.kind=elsewhere", "loss.entropy_coef=0.1")  # so that it learns at any reward
    make_trainer("grpo", model, tmp_path / "run", ON_POLICY, *given).train()
    again = make_trainer("grpo", model, tmp_path / "run", ON_POLICY, *given)
    untrained = again.policy.copy.state_dict()["lm_head.weight"].clone()
    again.train(resume=True)
    assert again.policy.calls == ["update", "version 2", "close"]
    sent, learnt = again.policy.copy.state_dict(), again.loaded.model.state_dict()
    assert all(torch.equal(sent[name], weight) for name, weight in learnt.items())
    assert not torch.equal(sent["lm_head.weight"], untrained)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("policy.kind=nobody", UnknownNameError, "nobody"),
        ("policy.kind=expert", ConfigError, "policy.kind=expert .* can't be made"),
        ("policy.kind=deaf", ConfigError, "is no agentgym.LearningPolicy"),
        ("policy.options={wings: 2}", ConfigError, "wings"),
        ("policy.options={slots: 2}", ConfigError, "slots"),
    ],
)
def test_what_cannot_sample_from_the_model_is_refused(
    given: str, error: type[Exception], message: str, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        make_trainer("grpo", model, tmp_path / "run", ON_POLICY, given)
