"""Games for everyone: ALFWorld games generated from our own rooms, rules and wording.

`generate(i)` returns game i; nothing but the core install is needed. `write_dataset` writes games
as the files that ALFWorld itself reads. `likely_places` tells where things are usually kept, which
is also how the generator places them. Start reading at `game.py`.
"""

from agentgym.envs.alfworld.generator.dataset import traj_data, write_dataset, write_game
from agentgym.envs.alfworld.generator.difficulty import DIFFICULTIES, LEVELS, Difficulty
from agentgym.envs.alfworld.generator.game import (
    Domain,
    GameData,
    GeneratedGame,
    SceneSource,
    Solver,
    generate,
)
from agentgym.envs.alfworld.generator.goals import Goal, TaskType
from agentgym.envs.alfworld.generator.scenes import Room, Split
from agentgym.envs.alfworld.generator.vocabulary import LikelyPlace, fits, likely_places

__all__ = [
    "generate",
    "GeneratedGame",
    "GameData",
    "Goal",
    "TaskType",
    "Split",
    "Room",
    "SceneSource",
    "Domain",
    "Difficulty",
    "DIFFICULTIES",
    "LEVELS",
    "Solver",
    "write_game",
    "write_dataset",
    "traj_data",
    "likely_places",
    "LikelyPlace",
    "fits",
]
