"""The stages of the demo, each usable by itself: `benchmarks/learning/` repeats them over seeds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import yaml

from agentgym.config import load
from agentgym.errors import DataError, UsageError
from agentgym.evaluation import Evaluation, evaluate
from agentgym.metrics import read_metrics
from agentgym.policies import make_policy
from agentgym.policy import Sampling
from agentgym.progress import Display, Progress
from agentgym.registry import trainers
from agentgym.rollout import RolloutConfig
from agentgym.run_dir import RunDir
from agentgym.store import Store

# Two evaluations of 512 games left a standard error of 3 points on what the run adds.
EVAL_EPISODES = 1536
_PACKAGE = "agentgym.demo"


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo showed.

    Attributes:
        folder: Everything that it wrote.
        cold: How the imitating model did on unseen rooms.
        trained: How it did after reinforcement.
        curve: Success of the rollouts at each training step.
        plot: The picture of it; None where matplotlib is not installed.
    """

    folder: Path
    cold: Evaluation
    trained: Evaluation
    curve: Sequence[float]
    plot: Path | None

    @property
    def gain(self) -> float:
        """By how many points success rose."""
        return 100 * (self.trained.success.mean - self.cold.success.mean)


class Stages:
    """The demo's stages, for one seed, in one folder.

    Args:
        folder: Where to write; must be new or empty.
        seed: Seeds the weights, the demonstrations and the rollouts.
        display: How progress is shown.
        tell: Is told, in a line, what happens next.

    Raises:
        UsageError: If the folder is not empty.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seed: int = 0,
        display: Display | None = None,
        tell: Callable[[str], None] = print,
    ) -> None:
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty; give a new folder")
        self.folder, self.seed = folder, seed
        self._display, self._tell = display, tell

    def build(self) -> Path:
        """Build the tiny model and return its folder."""
        from agentgym.models.texts import expert_texts
        from agentgym.models.tiny import build_tiny

        env, kwargs = environment()
        texts = expert_texts(env, 400, seed=self.seed, **kwargs)
        built = build_tiny(self.folder / "model", texts, seed=self.seed)
        self._tell(
            f"built a Qwen3-shaped model of {built.parameters / 1e6:.2f} M parameters with "
            f"{built.vocabulary} tokens"
        )
        return built.folder

    def train(self, algorithm: str, model: Path, name: str, *overrides: str) -> Path:
        """Train a model and return the folder of the trained one.

        Args:
            algorithm: The trainer's name.
            model: The folder of the model to start from.
            name: The run's folder inside the demo's.
            *overrides: Settings over those of the YAML file of that algorithm.
        """
        trainer_class: Any = trainers.load(algorithm)
        given = [f"model.path={model}", f"seed={self.seed}", *overrides]
        with as_file(files(_PACKAGE) / f"{_FILES.get(algorithm, 'rl')}.yaml") as settings:
            config = load(trainer_class.config_class, [settings], given)
        run = RunDir.create(self.folder / name, command=f"train {algorithm}", config=config)
        self._tell(f"{algorithm}: {config.steps} steps, in {run.path}")
        with Progress(config.steps, algorithm, display=self._display) as progress:
            trainer_class(config, run).train(progress=progress)
        newest = max(run.checkpoints.glob("step-*"), default=None)
        if newest is None:
            raise DataError(f"{run.checkpoints} holds no checkpoint of {algorithm}")
        return newest / "model"

    def evaluate(self, model: Path, name: str, episodes: int = EVAL_EPISODES) -> Evaluation:
        """Return how a model does on rooms that training never shows, sampling as in rollouts."""
        env, kwargs = environment()
        rollouts = _rollout_settings()
        run = RunDir.create(self.folder / name, command="eval")
        with Store.writer(run.path) as writer:
            return evaluate(
                env,
                make_policy(f"transformers:{model}", **rollouts["policy"]),
                episodes,
                # As many games as episodes: a game that is played again tells less than another.
                env_kwargs={**kwargs, "split": "valid_unseen", "games": episodes},
                config=RolloutConfig(**rollouts["rollout"]),
                sampling=Sampling(**rollouts["sampling"]),
                seed=10_000 + self.seed,
                writer=writer,
                display=self._display,
            )


def run_demo(
    folder: Path,
    *,
    seed: int = 0,
    display: Display | None = None,
    tell: Callable[[str], None] = print,
) -> DemoResult:
    """Run all stages.

    Args:
        folder: Where to write; must be new or empty.
        seed: Seeds everything.
        display: How progress is shown.
        tell: Is told, in a line, what happens next.
    """
    stages = Stages(folder, seed=seed, display=display, tell=tell)
    imitator = stages.train("sft", stages.build(), "sft")
    cold = stages.evaluate(imitator, "eval-cold")
    tell(f"cold start: {_percent(cold)} on unseen rooms")
    learner = stages.train("arpo", imitator, "arpo")
    trained = stages.evaluate(learner, "eval-trained")
    tell(f"after ARPO: {_percent(trained)} on unseen rooms")
    curve = success_curve(folder / "arpo")
    plot = plot_curve(curve, cold, trained, folder / "curve.png")
    return DemoResult(folder, cold, trained, curve, plot)


def environment() -> tuple[str, dict[str, Any]]:
    """Return the demo's environment: its id and options."""
    env = _rollout_settings()["env"]
    return env["id"], dict(env["kwargs"])


def success_curve(run: Path) -> list[float]:
    """Return the success of a run's rollouts, step by step."""
    return [row["rollout/success"] for row in read_metrics(run / "metrics.jsonl")]


def plot_curve(
    curve: Sequence[float], cold: Evaluation, trained: Evaluation, file: Path
) -> Path | None:
    """Save a picture of the curve; None where matplotlib is not installed."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return None
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    steps = range(1, len(curve) + 1)
    axes.plot(steps, [100 * value for value in curve], color="C0", label="training rollouts")
    for evaluation, step, label in (
        (cold, 0, "unseen rooms, cold start"),
        (trained, len(curve), "unseen rooms, after ARPO"),
    ):
        axes.errorbar(
            [step],
            [100 * evaluation.success.mean],
            yerr=[100 * evaluation.success.stderr],
            fmt="o",
            capsize=4,
            label=label,
        )
    axes.set(xlabel="ARPO step", ylabel="success, %", ylim=(0, 100))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(file, dpi=120)
    pyplot.close(figure)
    return file


_FILES = {"sft": "cold_start"}


def _rollout_settings() -> Mapping[str, Any]:
    """Return what reinforcement is configured by: evaluation rolls out in the same way."""
    return yaml.safe_load((files(_PACKAGE) / "rl.yaml").read_text())


def _percent(evaluation: Evaluation) -> str:
    return f"{100 * evaluation.success.mean:.1f}% ± {100 * evaluation.success.stderr:.1f}"
