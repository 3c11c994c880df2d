"""A way to win, known because the generator put everything where it is.

Fetch an object of the goal from where it was put, take it past the appliance if the goal wants it
clean, hot or cool, and put it where it belongs; to look at something, fetch it and switch on the
lamp. The last command wins and none before it does: no object of the goal starts where it should
go, none starts treated, and no lamp starts switched on.
"""

from agentgym.envs.alfworld.generator.goals import TaskType
from agentgym.envs.alfworld.generator.world import START, Item, Receptacle, World


def walkthrough(world: World) -> tuple[str, ...]:
    """Return commands that win the game from its start."""
    goal = world.goal
    steps = _Steps()
    wanted = [item for item in world.items if item.kind == goal.object_kind]
    if goal.task_type is TaskType.LOOK:
        steps.fetch(wanted[0])
        lamp = next(item for item in world.items if item.kind == goal.place_kind)
        steps.go_to(lamp.place)
        steps.do(f"use {lamp.name}")
        return steps.commands
    destination = _first(world, goal.place_kind)
    treatment = goal.task_type.treatment
    for item in wanted[: goal.task_type.needed]:
        steps.fetch(item)
        if treatment:
            appliance = _first(world, treatment.appliance)
            steps.go_to(appliance)
            steps.do(f"{treatment.verb} {item.name} with {appliance.name}")
        steps.go_to(destination)
        steps.open(destination)
        steps.do(f"move {item.name} to {destination.name}")
    return steps.commands


def _first(world: World, kind: str) -> Receptacle:
    return next(receptacle for receptacle in world.receptacles if receptacle.kind == kind)


class _Steps:
    """The commands so far, and what they have changed about the way ahead."""

    def __init__(self) -> None:
        self._commands: list[str] = []
        self._location = START
        self._opened: set[str] = set()

    @property
    def commands(self) -> tuple[str, ...]:
        return tuple(self._commands)

    def do(self, command: str) -> None:
        self._commands.append(command)

    def go_to(self, receptacle: Receptacle) -> None:
        # Two receptacles can share a spot, and nobody can walk to where they are.
        if receptacle.location != self._location:
            self._location = receptacle.location
            self.do(f"go to {receptacle.name}")

    def open(self, receptacle: Receptacle) -> None:
        if receptacle.openable and receptacle.id not in self._opened:
            self._opened.add(receptacle.id)
            self.do(f"open {receptacle.name}")

    def fetch(self, item: Item) -> None:
        self.go_to(item.place)
        self.open(item.place)
        self.do(f"take {item.name} from {item.place.name}")
