"""Where to look next for a kind of object.

Promising is what finds most per command: how likely the kind of place is for the kind of object
(the generator's table), shared among the places of that kind in the room, per command that it takes
to see inside. Ties go by kind, then number, so that equal beliefs lead to equal searches and the
drawers are gone through from the first to the last.
"""

from collections import Counter

from agentgym.envs.alfworld.experts.belief import Belief, Place
from agentgym.envs.alfworld.generator.vocabulary import OBJECTS

_FITS = 0.01  # weight of a kind of place where such a thing fits and is not kept
_ANYWHERE = 0.0001  # weight of a kind of place where it does not fit, as far as we know
_POINTLESS = 0.001  # factor for the goal's own kind of place: nobody asks for what is done already

_WEIGHTS = {
    kind.name.lower(): {place.lower(): weight or _FITS for place, weight in kind.places.items()}
    for kind in OBJECTS.values()
}


class Search:
    """Ranks the places of a room by what looking there promises.

    Args:
        belief: What is known of the room.
        pointless: The kind of receptacle that the goal names.
    """

    def __init__(self, belief: Belief, pointless: str) -> None:
        self._belief = belief
        self._pointless = pointless
        self._chances: dict[str, list[tuple[Place, float]]] = {}

    def best(self, kind: str) -> Place:
        """Return the place to look into for an object of a kind; the room must have a place."""
        belief = self._belief
        best: Place | None = None
        most = -1.0
        for place, chance in self._chances_of(kind):
            if place.seen:
                continue
            far = place.spot != belief.spot
            gain = chance / 2 if far and not place.open else chance
            if gain > most:
                best, most = place, gain
        if best is None:
            # It was there all the time, or somebody brought it: begin again.
            belief.forget_contents()
            return self.best(kind)
        return best

    def _chances_of(self, kind: str) -> list[tuple[Place, float]]:
        chances = self._chances.get(kind)
        if chances is None:
            places = self._belief.places.values()
            weights = _WEIGHTS.get(kind)  # of a kind that we don't know, every place is as likely
            count = Counter(place.kind for place in places)
            chances = self._chances[kind] = []
            for place in places:
                weight = 1.0 if weights is None else weights.get(place.kind, _ANYWHERE)
                if place.kind == self._pointless:
                    weight *= _POINTLESS
                chances.append((place, weight / count[place.kind]))
        return chances


def look_into(place: Place, belief: Belief) -> str:
    """Return the command that brings one closer to seeing what is in a place."""
    if place.spot != belief.spot:
        return f"go to {place.name}"
    return f"examine {place.name}" if place.open else f"open {place.name}"
