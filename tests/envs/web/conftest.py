"""A site on loopback, and environments that visit it."""

from collections.abc import Iterator
from typing import Any

import pytest
from web_pages import HOME, NEVER, NEXT
from websites import Website, website

from agentgym.envs.web.browsing import BrowserEnv


@pytest.fixture(scope="module")
def server() -> Iterator[Website]:
    with website() as running:
        yield running


@pytest.fixture
def site(server: Website) -> Website:
    """The same server for all, so that they may share a browser."""
    server.pages = {"/": HOME, "/next": NEXT}
    server.kinds, server.delays = {}, {}
    return server


@pytest.fixture
def browsers() -> Iterator[list[BrowserEnv]]:
    """Environments that are closed in the end."""
    made: list[BrowserEnv] = []
    yield made
    for env in made:
        env.close()


@pytest.fixture
def visit(site: Website, browsers: list[BrowserEnv]) -> Any:
    def begin(page: str = "/", **options: Any) -> tuple[BrowserEnv, str]:
        given = {"url": site.url(page), "goal": "Look.", "judge": NEVER} | options
        env = BrowserEnv(**given)
        browsers.append(env)
        return env, env.reset(seed=0)[0]["text"]

    return begin
