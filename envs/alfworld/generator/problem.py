"""A furnished room written as a PDDL problem, in the vocabulary that both domains share."""

from collections.abc import Iterable

from agentgym.envs.alfworld.generator.vocabulary import OBJECTS, Affordance, fits
from agentgym.envs.alfworld.generator.world import START, World


def write_problem(world: World, name: str) -> str:
    """Return the text of a PDDL problem.

    Args:
        world: The room and the goal.
        name: The problem's name, a PDDL symbol.
    """
    object_kinds = sorted({item.kind for item in world.items})
    receptacle_kinds = sorted({receptacle.kind for receptacle in world.receptacles})
    locations = dict.fromkeys([START, *(receptacle.location for receptacle in world.receptacles)])

    lines = [f"(define (problem {name})", "(:domain alfred)", "(:objects"]
    lines += _typed("agent", [_AGENT])
    lines += _typed("otype", (f"{kind}Type" for kind in object_kinds))
    lines += _typed("rtype", (f"{kind}Type" for kind in receptacle_kinds))
    lines += _typed("object", (item.id for item in world.items))
    lines += _typed("receptacle", (receptacle.id for receptacle in world.receptacles))
    lines += _typed("location", locations)
    lines += [")", "(:init"]

    lines.append(f"    (atLocation {_AGENT} {START})")
    for receptacle in world.receptacles:
        lines.append(f"    (receptacleType {receptacle.id} {receptacle.kind}Type)")
        lines.append(f"    (receptacleAtLocation {receptacle.id} {receptacle.location})")
        if receptacle.openable:
            lines.append(f"    (openable {receptacle.id})")
    for item in world.items:
        lines.append(f"    (objectType {item.id} {item.kind}Type)")
        lines.append(f"    (inReceptacle {item.id} {item.place.id})")
        lines.append(f"    (objectAtLocation {item.id} {item.place.location})")
        lines += (f"    ({predicate} {item.id})" for predicate in _PREDICATES[item.kind])
    lines += (
        f"    (canContain {place}Type {kind}Type)"
        for kind in object_kinds
        if Affordance.PICK in OBJECTS[kind].affordances
        for place in receptacle_kinds
        if fits(kind, place)
    )
    lines += [")", f"(:goal\n    {world.goal.condition}\n))", ""]
    return "\n".join(lines)


_AGENT = "agent1"

_PREDICATES = {
    kind.name: tuple(a.value for a in Affordance if a in kind.affordances)
    for kind in OBJECTS.values()
}


def _typed(type_name: str, names: Iterable[str]) -> Iterable[str]:
    return (f"    {name} - {type_name}" for name in names)
