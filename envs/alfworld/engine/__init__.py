"""A compiled engine for ALFWorld's text games, with TextWorld's text string for string.

`Game.load(path)` reads a game.tw-pddl file; `game.start()` begins a play of it. A game is immutable
and shared; a play is an int and a string. Reading order: pddl.py and grammar.py read the two
languages, domain.py compiles them, ground.py turns a problem into bits and operators, words.py its
grammar into texts; game.py and play.py are what users touch. Nothing but the standard library is
imported.
"""

from agentgym.envs.alfworld.engine.domain import Domain, compile_domain
from agentgym.envs.alfworld.engine.game import Game
from agentgym.envs.alfworld.engine.ground import Operator
from agentgym.envs.alfworld.engine.play import Play

__all__ = ["Game", "Play", "Domain", "Operator", "compile_domain"]
