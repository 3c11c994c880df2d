"""`CityTable`: cities, what is true of each, and the questions that it answers about them.

Asked openly it says what a city is known for, on which continent it lies, and so on; which country
it is in has to be guessed. Who knows what every city is known for needs two questions; with
`yes_no` only yes/no questions are answered, and nobody is done so soon.
"""

import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from typing import Any

from agentgym.envs.dialogue.oracle import Answer
from agentgym.envs.dialogue.questions import core, guessed
from agentgym.envs.dialogue.table import NO, YES, index, mixed, read_table

LOST = "I don't understand. Ask about its place, people, language, food, or what it is known for."
YES_NO = "I answer by yes or no. Ask a yes/no question."
COUNTRY = "I won't name the country, but you may ask whether it is a certain one."


@dataclass(frozen=True, slots=True)
class City:
    """A city.

    Attributes:
        name: Its name.
        country: The country.
        continent: The continent.
        language: What most people there speak, most spoken first.
        currency: What they pay with.
        population: How many live there, in millions.
        climate: What the weather is like.
        landmark: What there is to see.
        food: What people there like to eat.
        known_for: What else it is known for.
        also: Its other names.
        country_also: Other names of the country.
        capital: Whether it is its country's capital.
        coastal: Whether it lies at a sea.
        mountains: Whether there are mountains close to it.
        olympics: Whether it has held Olympic Games.
        metro: Whether it has an underground.
        river: The river that it lies on, if there is one to speak of.
    """

    name: str
    country: str
    continent: str
    language: Sequence[str]
    currency: str
    population: float
    climate: str
    landmark: str
    food: str
    known_for: str
    also: Sequence[str] = ()
    country_also: Sequence[str] = ()
    capital: bool = False
    coastal: bool = False
    mountains: bool = False
    olympics: bool = False
    metro: bool = False
    river: str | None = None


# What is asked openly: how it is answered, and how it is asked, the plainest first.
_OPEN: Mapping[str, tuple[Callable[[City], str], Sequence[str]]] = {
    "continent": (
        lambda city: f"It is in {city.continent}.",
        ("Which continent is it on?", "What continent is it in?", "What continent?",
         "Which part of the world is it in?", "On which continent is it?"),
    ),
    "language": (
        lambda city: f"People speak {' and '.join(city.language)} there.",
        ("What language do people speak there?", "What language do they speak there?",
         "Which language do they speak there?", "What is the language?",
         "Which language is spoken there?", "What language is spoken?",
         "What do people speak there?", "What is the official language?"),
    ),
    "known_for": (
        lambda city: f"It is known for {city.known_for}.",
        ("What is it known for?", "What is it famous for?", "What is special about it?",
         "What can you tell me about it?"),
    ),
    "landmark": (
        lambda city: f"There is {city.landmark}.",
        ("What landmarks does it have?", "What is its most famous landmark?",
         "What is the most famous landmark?", "Does it have any famous landmarks?",
         "What is there to see?", "What do tourists visit there?"),
    ),
    "food": (
        lambda city: f"People there like {city.food}.",
        ("What do people eat there?", "What food is it known for?", "What food is it famous for?",
         "What is the local food?", "What is a typical dish?", "What is the food like?"),
    ),
    "river": (
        lambda city: f"It lies on {city.river}." if city.river else "I know of no river there.",
        ("Which river does it lie on?", "What river is it on?", "What river runs through it?",
         "Is it on a river?", "Does a river run through it?", "Does it have a river?"),
    ),
    "climate": (
        lambda city: f"It has {city.climate}.",
        ("What is the climate like?", "What is the weather like?",
         "What is the weather like there?",
         "Is it hot or cold there?", "What is the climate?"),
    ),
    "currency": (
        lambda city: f"People pay with {city.currency}.",
        ("What currency do people pay with?", "What is the currency?",
         "Which currency is used there?",
         "What money do they use?", "What currency do they use there?"),
    ),
    "people": (
        lambda city: f"About {city.population:g} million people live there.",
        ("How many people live there?", "What is its population?", "What is the population?",
         "How big is it?", "How large is it?", "How many inhabitants does it have?"),
    ),
    "country": (
        lambda _: COUNTRY,
        ("Which country is it in?", "What country is it in?", "In which country is it?",
         "Where is it?", "What country?"),
    ),
}  # fmt: skip

_CLOSED: Mapping[str, tuple[Callable[[City], bool], Sequence[str]]] = {
    "capital": (
        lambda city: city.capital,
        ("Is it a capital?", "Is it the capital of its country?", "Is it a capital city?",
         "Is it the capital of the country?"),
    ),
    "coast": (
        lambda city: city.coastal,
        ("Is it on the coast?", "Is it by the sea?", "Is it near the ocean?", "Is it a port?",
         "Does it lie at the sea?", "Is it near the sea?", "Does it have a beach?",
         "Is it a coastal city?"),
    ),
    "mountains": (
        lambda city: city.mountains,
        ("Is it near mountains?", "Is it in the mountains?", "Are there mountains nearby?",
         "Is it close to mountains?"),
    ),
    "metro": (
        lambda city: city.metro,
        ("Does it have a metro?", "Does it have an underground?", "Does it have a subway?",
         "Is there a metro?"),
    ),
    "games": (
        lambda city: city.olympics,
        ("Has it held Olympic Games?", "Has it hosted the Olympics?", "Did it host the Olympics?",
         "Have the Olympic Games been held there?"),
    ),
}  # fmt: skip

_PLACE = re.compile(r"is it (?:located |situated )?(?:in|on|part of) (?:continent of )?(.+)")
_SPOKEN = re.compile(r"(?:do|does) (?:people|it) speak (.+?)(?: there)?|is (.+?) spoken(?: there)?")
_MILLIONS = re.compile(
    r"(?:does it have|do|are there) (more|less|fewer) than (\d+(?:\.\d+)?) million"
    r"(?: people| inhabitant)?(?: live| living)?(?: there)?"
)


class CityTable:
    """An oracle that looks answers up.

    What it doesn't know to be asked (`questions.core`) is not understood; nor are places and
    languages that no city of the table has.

    Args:
        cities: The cities.
        yes_no: Whether only what can be answered by yes or no is answered.

    Attributes:
        cities: The cities by name.
        mixed: Their names in an order that mixes the continents.
        questions: Yes/no questions that tell the cities apart.

    Raises:
        DataError: If words stand for two things.
    """

    def __init__(self, cities: Sequence[City], *, yes_no: bool = False) -> None:
        self._yes_no = yes_no
        self.cities = {city.name: city for city in cities}
        self.mixed = mixed(self.cities)
        self._topic = index((q, name) for name, (_, asked) in _OPEN.items() for q in asked)
        self._trait = index((q, name) for name, (_, asked) in _CLOSED.items() for q in asked)
        self._named = index(
            (name, city.name) for city in cities for name in (city.name, *city.also)
        )
        # What names a place or a language, and of which cities it is true: "Scotland" is a name of
        # the country for some of its cities only.
        self._places: dict[str, set[str]] = {}
        self._languages: dict[str, set[str]] = {}
        for city in cities:
            for place in (city.continent, city.country, *city.country_also):
                self._places.setdefault(core(place), set()).add(city.name)
            for language in city.language:
                for words in (language, *language.split()):  # "Mandarin Chinese" is both
                    self._languages.setdefault(core(words), set()).add(city.name)
        continents = sorted({city.continent for city in cities})
        countries = sorted({city.country for city in cities})
        self.questions = (
            *(asked[0] for _, asked in _CLOSED.values()),
            *(f"Is it in {place}?" for place in (*continents, *countries)),
            *(f"Does it have more than {n} million people?" for n in ("0.5", "1", "2", "4", "8")),
        )

    def answer(self, secret: str, question: str) -> Answer:
        """Answer a question about one of the cities."""
        city, meant = self.cities[secret], core(question)
        if (topic := self._topic.get(meant)) is not None:
            if self._yes_no:
                return Answer(YES_NO, understood=False)
            return Answer(_OPEN[topic][0](city))
        named = self._named.get(guessed(meant))
        if named is not None:
            return Answer(f"Yes, it is {secret}.", found=True) if named == secret else Answer(NO)
        true = self._true(city, meant)
        if true is None:
            return Answer(LOST, understood=False)
        return Answer(YES if true else NO)

    def named(self, question: str) -> str | None:
        """Return the city that a question names; None if it names none."""
        return self._named.get(guessed(core(question)))

    def names(self, secret: str) -> tuple[str, ...]:
        """Return all names of a city."""
        return (secret, *self.cities[secret].also)

    def _true(self, city: City, meant: str) -> bool | None:
        """Return whether what a yes/no question says is true; None if it isn't understood."""
        if (trait := self._trait.get(meant)) is not None:
            return _CLOSED[trait][0](city)
        if match := _PLACE.fullmatch(meant):
            return _among(city, self._places.get(match[1]))
        if match := _SPOKEN.fullmatch(meant):
            return _among(city, self._languages.get(match[1] or match[2]))
        if match := _MILLIONS.fullmatch(meant):
            number = float(match[2])
            return city.population > number if match[1] == "more" else city.population < number
        return None


def _among(city: City, true_of: Set[str] | None) -> bool | None:
    return None if true_of is None else city.name in true_of


@cache
def city_table(yes_no: bool = False) -> CityTable:
    """Return the table that comes with the environment.

    Args:
        yes_no: See `CityTable`.
    """
    data: dict[str, Any] = read_table("agentgym.envs.dialogue.guess_my_city", "cities.toml")
    cities = [City(name=name, **row) for name, row in data["cities"].items()]
    return CityTable(cities, yes_no=yes_no)
