"""Time MiniWoB++ in agentgym, in BrowserGym and in Farama's `miniwob`, in one run.

All show the same page (`click-checkboxes-large`) in the same Chromium, and a step is a click that
checks or unchecks a box, with the observation after it: ours is text, or text and a screenshot;
BrowserGym's by default DOM, accessibility tree and screenshot, Farama's DOM and screenshot. An
episode is a reset and a step. Ours and Farama's restart the page in place, BrowserGym starts two
browsers for it. "no delays" is BrowserGym without its `slow_mo` and `pre_observation_delay`.

Contexts work at the same time, each as fast as it can; latencies are those beside the others. The
CPU time is that of a step in all processes together, which says more than the clock where other
work runs on the same cores. The memory (PSS) is that of the browsers and their drivers, divided by
the contexts, without the Python processes; it is whole for root alone. Each peer has a virtual
environment of its own, made below build/ at the first run. Needs Debian's `chromium` and
`chromium-driver`.

    python benchmarks/web_steps.py [--seconds 10] [--contexts 1 4 16]
    python benchmarks/web_steps.py --rewards [--seeds 2] [--minutes 60] [--pages PAGE ...]

The second compares rewards instead (`web_rewards.py`). What bounds ours: a step waits until the
page has been still for 20 ms; a screenshot has the browser draw two frames.
"""

import argparse
import os
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from web_crew import Crew, CrewError, Way
from web_rewards import compare

from agentgym.envs.miniwob_names import NAMES

TEXT = Way("ours, text", "agentgym")
SCREENSHOT = Way("ours, text and screenshot", "agentgym", {"screenshot": True})
BROWSERGYM = Way("BrowserGym", "browsergym")
BARE = Way("BrowserGym, no delays", "browsergym", {"slow_mo": 0, "pre_observation_delay": 0})
FARAMA = Way("Farama, Selenium", "farama")
WAYS = (TEXT, SCREENSHOT, BROWSERGYM, BARE, FARAMA)

STEPS_GOAL, EPISODES_GOAL = 20.0, 60.0
_START_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Row:
    """What one way does with so many contexts.

    Attributes:
        resets: Seconds of each.
        steps: Seconds of each.
        cpu: Seconds of CPU time that a step takes.
        steps_rate: Steps per second, of all contexts together.
        episodes_rate: Episodes per second.
        mib: Of memory, for each context.
    """

    resets: Sequence[float]
    steps: Sequence[float]
    cpu: float
    steps_rate: float
    episodes_rate: float
    mib: float

    def line(self) -> str:
        """Return its part of the table's line."""
        latencies = "".join(
            f"{1e3 * statistics.median(spent):>8.0f}{1e3 * p99(spent):>8.0f}"
            for spent in (self.resets, self.steps)
        )
        return (
            f"{latencies}{1e3 * self.cpu:>8.0f}{self.steps_rate:>9.1f}{self.episodes_rate:>9.2f}"
            f"{self.mib:>9.0f}"
        )


Table = Mapping[Way, Mapping[int, Row | str]]


def p99(spent: Sequence[float]) -> float:
    """Return the 99th percentile, which is the worst where there are fewer than a hundred."""
    return sorted(spent)[int(0.99 * len(spent))]


def rate(spent: Sequence[Sequence[float]]) -> float:
    """Return what contexts do in a second together, from what each spent on each."""
    return sum(len(one) / sum(one) for one in spent)


def measure(way: Way, contexts: int, seconds: float) -> Row | str:
    """Return a row, or why there is none."""
    limit = _START_SECONDS + seconds
    try:
        with Crew(way, contexts) as crew:
            crew.call("begin", seconds=limit)
            before = crew.cpu_seconds()
            steps = crew.call("steps", seconds, seconds=limit)
            cpu = crew.cpu_seconds() - before
            episodes = crew.call("episodes", seconds, seconds=limit)
            mib = crew.mib_each()
    except CrewError as fault:
        return str(fault)
    return Row(
        [reset for each in episodes for reset, _ in each],
        [step for each in steps for step in each],
        cpu / sum(map(len, steps)),
        rate(steps),
        rate([[whole for _, whole in each] for each in episodes]),
        mib,
    )


def verdicts(table: Table, cores: int) -> str:
    """Return the ratios to ours, and what became of the goals."""
    lines = ["", f"{'ours over theirs, at as many contexts':38}{'steps/s':>12}{'episodes/s':>12}"]
    worst = float("inf")
    for peer in (BROWSERGYM, BARE, FARAMA):
        for ours in (SCREENSHOT, TEXT):
            for contexts, theirs in table[peer].items():
                mine = table[ours][contexts]
                if isinstance(mine, str) or isinstance(theirs, str):
                    continue
                ratio = mine.steps_rate / theirs.steps_rate
                episodes = mine.episodes_rate / theirs.episodes_rate
                name = f"{ours.name.removeprefix('ours, ')} / {peer.name}"
                lines.append(f"{name:46}{contexts:>4}{ratio:>9.1f} x{episodes:>9.1f} x")
                if (ours, peer) == (SCREENSHOT, BROWSERGYM):
                    worst = min(worst, ratio)
    rows = [row for row in table[TEXT].values() if not isinstance(row, str)]
    best = max((row.episodes_rate for row in rows), default=0.0)
    found = "not measured"
    if worst < float("inf"):
        found = f"{_met(worst, STEPS_GOAL)}, {worst:.1f} times where it is least"
    lines.append(f"goal: {STEPS_GOAL:.0f} times BrowserGym's steps/s, screenshot included: {found}")
    lines.append(
        f"goal: {EPISODES_GOAL:.0f} episodes/s on 2 cores: {_met(best, EPISODES_GOAL)}, "
        f"{best:.1f} at best on {cores}, with text"
    )
    return "\n".join(lines)


def _met(value: float, goal: float) -> str:
    return "met" if value >= goal else "MISSED"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="for steps, and for episodes")
    parser.add_argument("--contexts", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rewards", action="store_true", help="compare rewards instead")
    parser.add_argument("--seeds", type=int, default=2, help="of each page, for --rewards")
    parser.add_argument("--minutes", type=float, default=60.0, help="for --rewards")
    parser.add_argument("--pages", nargs="+", default=NAMES, metavar="PAGE", help="for --rewards")
    options = parser.parse_args()
    for program in ("chromium", "chromedriver"):
        if shutil.which(program) is None:
            sys.exit(f"{program} is missing; run: apt-get install chromium chromium-driver")
    if options.rewards:
        compare(options.pages, options.seeds, options.minutes)
        return
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores; the load was {os.getloadavg()[0]:.1f} before")
    print(
        f"{'':27}{'con-':>6}{'reset (ms)':>16}{'step (ms)':>24}{'':>9}{'epi-':>9}{'MiB per':>9}\n"
        f"{'':27}{'texts':>6}{'p50':>8}{'p99':>8}{'p50':>8}{'p99':>8}{'CPU':>8}{'steps/s':>9}"
        f"{'sodes/s':>9}{'context':>9}"
    )
    table: dict[Way, dict[int, Row | str]] = {}
    for way in WAYS:
        table[way] = {}
        for contexts in options.contexts:
            row = measure(way, contexts, options.seconds)
            table[way][contexts] = row
            told = f"  failed: {row}" if isinstance(row, str) else row.line()
            print(f"{way.name:27}{contexts:>6}{told}", flush=True)
    print(verdicts(table, cores))


if __name__ == "__main__":
    main()
