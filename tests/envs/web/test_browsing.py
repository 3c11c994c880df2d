"""Any page as an environment: judges, tabs, frames, what may be visited, what is waited for."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from web_pages import NEVER, labels
from websites import Website, website

from agentgym.envs.web.browsing import BrowserEnv
from agentgym.envs.web.judges import Visit
from agentgym.errors import DataError, EnvError, InfraError, UnknownNameError, UsageError
from agentgym.stop_reason import StopReason

pytestmark = pytest.mark.integration


def test_the_page_that_comes_with_it_needs_no_network(browsers: list[BrowserEnv]) -> None:
    env = BrowserEnv()
    browsers.append(env)
    observation, _ = env.reset(seed=0)
    at = labels(observation["text"])
    assert observation["text"].startswith("Goal: Order a Sencha without milk for Ada.\n")
    env.step(f'fill({at["Your name"]}, "Ada")')
    env.step(f'select_option({at["Tea"]}, "Sencha")')
    _, reward, terminated, truncated, info = env.step(f"click({at['Order']})")
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["stop_reason"] is StopReason.SUCCESS


def test_a_link_a_page_back_and_a_page_forward(visit: Any) -> None:
    env, text = visit()
    text = env.step(f"click({labels(text)['Next']})")[0]["text"]
    assert text.startswith('Page: "Next" http://127.0.0.1:')
    assert "The next page." in text
    assert 'Page: "Home"' in env.step("go_back()")[0]["text"]
    assert 'Page: "Next"' in env.step("go_forward()")[0]["text"]
    info = env.step("go_forward()")[4]
    assert info["action_error"] == "There is no page to go forward to."


def test_tabs_open_close_and_are_looked_at(visit: Any) -> None:
    env, text = visit()
    text = env.step(f"click({labels(text)['In a tab']})")[0]["text"]
    assert 'Tab 0: "Home"' in text
    assert 'Tab 1 (shown): "Next"' in text
    assert "The next page." in text
    text = env.step("tab_focus(0)")[0]["text"]
    assert 'Tab 0 (shown): "Home"' in text
    assert env.step("tab_focus(2)")[4]["action_error"] == "There is no tab 2; there are 0 to 1."
    text = env.step("tab_focus(1)")[0]["text"]
    text = env.step(f"click({labels(text)['Close']})")[0]["text"]
    assert text.startswith('Page: "Home"')
    assert env.step("tab_close()")[4]["action_error"] == "The last tab can't be closed."
    text = env.step("new_tab()")[0]["text"]
    assert 'Tab 1 (shown): "" about:blank' in text
    assert env.step("tab_close()")[0]["text"].startswith('Page: "Home"')


def test_what_an_action_starts_is_waited_for(site: Website, visit: Any) -> None:
    site.delays["/late"] = 0.4
    site.pages["/"] = """<button onclick="fetch('/late').then((a) => a.text())
        .then((text) => { out.textContent = text })">Load</button><p id="out"></p>"""
    env, text = visit()
    text = env.step(f"click({labels(text)['Load']})")[0]["text"]
    assert "page /late" in text


def test_a_request_that_never_ends_delays_only_what_began_it(site: Website, visit: Any) -> None:
    site.delays["/late"] = 20.0
    site.pages["/"] = "<button onclick=\"fetch('/late')\">Load</button><p>Here.</p>"
    env, text = visit(settle_seconds=0.3)
    text = env.step(f"click({labels(text)['Load']})")[0]["text"]
    assert "Here." in text
    assert env.step("noop()")[4]["action_error"] is None


def test_nothing_is_reached_that_is_not_listed(site: Website, visit: Any) -> None:
    with website() as other:
        addresses = [other.url("/script"), other.url("/script", "localhost")]
        site.pages["/"] = f"""<a href="{other.url("/link")}">Link</a>
            <img src="{other.url("/image")}"><p id="out"></p><script>
            new WebSocket("ws://127.0.0.1:{other.port}/socket");
            const asked = {json.dumps(addresses)}.map((url) => fetch(url, {{mode: "no-cors"}}));
            Promise.allSettled(asked)
                .then((all) => {{ out.textContent = all.map((each) => each.status).join() }});
            </script>"""
        env, text = visit()
        assert "rejected,rejected" in text
        info = env.step(f"click({labels(text)['Link']})")[4]
        assert "may not be visited" in info["action_error"]
        info = env.step(f'goto("{other.url("/typed")}")')[4]
        assert info["action_error"] == (
            f"127.0.0.1 may not be visited here; allowed are: 127.0.0.1:{site.port}."
        )
        assert other.asked == []
        env, text = visit(hosts=[f"127.0.0.1:{other.port}"])
        assert "fulfilled,rejected" in text
        assert {path for _, path, _ in other.asked} >= {"/script", "/image"}


@pytest.mark.parametrize("url", ["file:///etc/hostname", "javascript:alert(1)", "chrome://version"])
def test_no_address_but_the_web_s_is_gone_to(visit: Any, url: str) -> None:
    env, _ = visit(hosts=["*"])
    observation, *_, info = env.step(f'goto("{url}")')
    assert "is no address such as" in info["action_error"]
    assert 'Page: "Home"' in observation["text"]


def test_every_episode_has_a_context_of_its_own(site: Website, visit: Any) -> None:
    site.pages["/"] = """<p id="out"></p><script>
        out.textContent = `seen ${localStorage.getItem("seen")} ${document.cookie}`;
        localStorage.setItem("seen", "1"); document.cookie = "c=1";</script>"""
    env, text = visit()
    assert "seen null" in text
    assert "seen 1 c=1" in env.step(f"goto('{site.url()}')")[0]["text"]
    assert '"seen null"' in env.reset(seed=1)[0]["text"]


def test_a_frame_of_another_origin_is_read_and_acted_on(site: Website, visit: Any) -> None:
    with website() as other:
        other.pages["/frame"] = """<label>Word <input></label>
            <button onclick="this.textContent = document.querySelector('input').value">Say</button>
            <select aria-label="Choice"><option>one</option><option>two</option></select>"""
        frame = other.url("/frame", "localhost")
        site.pages["/"] = f'<h1>Outside</h1><p style="height: 900px">far</p><iframe src="{frame}">'
        env, text = visit(hosts=[f"localhost:{other.port}"], boxes=True)
        assert "iframe" in text
        assert "[a1]" in text
        at = labels(text)
        env.step(f'fill("{at["Word"]}", "aloud")')
        text = env.step(f'click("{at["Say"]}")')[0]["text"]
        assert labels(text)["aloud"] == at["Say"]
        env.step(f'press("{at["Word"]}", "End")')
        text = env.step(f'select_option("{at["Choice"]}", "two")')[0]["text"]
        assert 'value="two"' in text
        info = env.step('click("a99")')[4]
        assert info["action_error"].startswith("Element [a99] does not exist; near it: [a")
        assert env.step('click("b1")')[4]["action_error"] == "Element [b1] does not exist."


def test_files_are_uploaded_by_their_names(site: Website, visit: Any, tmp_path: Path) -> None:
    site.pages["/"] = """<input type="file" aria-label="Paper"
        onchange="this.files[0].text().then((text) => { out.textContent = text })">
        <p id="out"></p><button>Other</button>"""
    file = tmp_path / "any.txt"
    file.write_text("what it says")
    env, text = visit(uploads={"paper.txt": file})
    at = labels(text)
    info = env.step(f'upload_file({at["Paper"]}, "/etc/passwd")')[4]
    assert info["action_error"] == (
        "There is no file '/etc/passwd' to upload; there are: 'paper.txt'."
    )
    info = env.step(f'upload_file({at["Other"]}, "paper.txt")')[4]
    assert "takes no file" in info["action_error"]
    text = env.step(f'upload_file({at["Paper"]}, "paper.txt")')[0]["text"]
    for _ in range(20):  # the browser reads a file in its own time, which no page can hurry
        if "what it says" in text:
            break
        text = env.step("noop()")[0]["text"]
    assert "what it says" in text
    with pytest.raises(UsageError, match="There is no file at"):
        BrowserEnv(uploads={"a": tmp_path / "none"})


def test_a_judge_sees_the_page_and_what_was_said(site: Website, visit: Any) -> None:
    seen: list[Visit] = []

    def judge(visit: Visit) -> float:
        seen.append(visit)
        return 0.5 if visit.message is None else 1.0

    env, _ = visit(judge=judge)
    _, reward, terminated, _, _ = env.step("noop()")
    assert (reward, terminated) == (0.0, False)
    assert seen[-1].url == site.url()
    assert seen[-1].title == "Home"
    assert "Next" in seen[-1].text
    _, reward, terminated, _, info = env.step('send_msg_to_user("It is done.")')
    assert (reward, terminated, info["success"]) == (1.0, True, True)
    assert seen[-1].message == "It is done."


@pytest.mark.parametrize(
    ("judge", "action", "reward"),
    [
        ({"url": "/next$"}, 'goto("NEXT")', 1.0),
        ({"title": "^Next$", "text": "next page"}, 'goto("NEXT")', 1.0),
        ({"title": "^Next$", "text": "no such words"}, 'goto("NEXT")', None),
        ({"script": "() => document.title === 'Next'"}, 'goto("NEXT")', 1.0),
        ({"script": "() => nothing.of.that.name"}, 'goto("NEXT")', None),
        ({"message": "(?i)paris"}, 'send_msg_to_user("In Paris.")', 1.0),
        ({"message": "(?i)paris"}, 'send_msg_to_user("In Rome.")', 0.0),
        ({"message": "(?i)paris"}, 'report_infeasible("There is no map of paris.")', 0.0),
        ({"infeasible": True}, 'report_infeasible("It is sold out.")', 1.0),
        ({"infeasible": True}, 'send_msg_to_user("Done.")', 0.0),
    ],
)
def test_conditions(
    site: Website, visit: Any, judge: dict[str, Any], action: str, reward: float | None
) -> None:
    env, _ = visit(judge=judge)
    _, earned, terminated, _, info = env.step(action.replace("NEXT", site.url("/next")))
    assert terminated == (reward is not None)
    assert earned == (reward or 0.0)
    assert info["success"] == (reward == 1.0)


def test_a_judge_at_the_end_is_asked_at_the_end(site: Website, visit: Any) -> None:
    env, _ = visit(judge={"url": "/next$"}, judged="end", max_turns=2)
    _, reward, terminated, truncated, _ = env.step(f'goto("{site.url("/next")}")')
    assert (reward, terminated, truncated) == (0.0, False, False)
    _, reward, terminated, truncated, info = env.step("noop()")
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["stop_reason"] is StopReason.SUCCESS


@pytest.mark.parametrize(
    ("judged", "value", "stop"),
    [
        ("end", 1.0, StopReason.SUCCESS),
        ("always", 0.5, StopReason.TURN_LIMIT),
    ],
)
def test_what_is_done_counts_also_where_the_last_action_is_none(
    visit: Any, judged: str, value: float, stop: StopReason
) -> None:
    env, _ = visit(judge=lambda _: value, judged=judged, max_turns=1)
    _, reward, terminated, truncated, info = env.step("what?")
    assert (reward, terminated, truncated) == (value, value == 1, value != 1)
    assert info["action_error"] is not None
    assert (info["stop_reason"], info["success"]) == (stop, value == 1)


@pytest.mark.parametrize("options", [{"style": "html"}, {"boxes": True}, {"max_chars": 10}])
def test_a_judge_sees_the_page_in_one_way(visit: Any, options: dict[str, Any]) -> None:
    env, _ = visit(judge={"text": r'(?m)^\[1\] heading "Home"$'}, **options)
    assert env.step("noop()")[1] == 1.0


@pytest.mark.parametrize("judge", [{"script": "no javascript ("}, lambda _: 2, lambda _: 1 / 0])
def test_a_judge_that_fails_is_no_reward(visit: Any, judge: Any) -> None:
    env, _ = visit(judge=judge)
    with pytest.raises(EnvError, match=r"function|judge"):
        env.step("noop()")
    env.reset(seed=0)  # the page is well


def test_html_shows_the_same_numbers(visit: Any) -> None:
    env, text = visit()
    html, page = visit(style="html")
    assert f'<a n="{labels(text)["Next"]}" href="/next">Next</a>' in page
    assert 'Page: "Next"' in html.step(f"click({labels(text)['Next']})")[0]["text"]
    env.close()


def test_changes_are_told_where_the_page_stays(site: Website, visit: Any) -> None:
    site.pages["/"] = (
        "<button onclick='n.textContent++'>More</button><p id='n'>1</p>"
        + "".join(f"<p>Line {k}.</p>" for k in range(20))
        + "<a href='/next'>Next</a>"
    )
    env, text = visit(style="changes")
    assert "Line 7." in text
    at = labels(text)
    changed = env.step(f"click({at['More']})")[0]["text"]
    assert "Line 7." not in changed
    assert [line for line in changed.splitlines() if line.startswith("+")] == [
        f'+ [{at["More"]}] button "More" focused',
        f'+ [{at["1"]}] text "2"',
    ]
    assert env.step("noop()")[0]["text"].endswith("Nothing has changed.")
    assert "The next page." in env.step(f"click({at['Next']})")[0]["text"]


def test_a_long_page_is_cut_and_says_so(site: Website, visit: Any) -> None:
    site.pages["/"] = "".join(f"<p>Line {k}.</p>" for k in range(500))
    _, text = visit(max_chars=1_000)
    assert "Line 5." in text
    assert "Line 499." not in text
    assert "lines, are not shown" in text
    assert len(text) < 1_300


def test_marks_frame_what_the_text_numbers(site: Website, visit: Any) -> None:
    site.pages["/"] = "<body style='margin: 50px'><button style='width: 100px'>Go</button>"
    size = {"width": 300, "height": 200, "screenshot": True}
    plain, text = visit(**size, boxes=True)
    marked, _ = visit(**size, marks=True)
    x, y, width, height = map(int, text.partition("at (")[2].partition(")")[0].split(","))
    before, after = plain.reset(seed=0)[0]["image"], marked.reset(seed=0)[0]["image"]
    assert before.shape == after.shape == (200, 300, 3)
    differs = (before != after).any(-1)
    assert differs[y, x : x + width].mean() > 0.9
    assert differs[y - 5, x]
    assert not differs[y + height + 2 :].any()
    with pytest.raises(UsageError, match="screenshot"):
        BrowserEnv(marks=True)


def test_a_site_that_is_away_is_nobody_s_failure(browsers: list[BrowserEnv]) -> None:
    env = BrowserEnv(url="http://127.0.0.1:9/", goal="Look.", judge=NEVER)
    browsers.append(env)
    with pytest.raises(InfraError, match="ERR_"):
        env.reset(seed=0)


def test_tasks_come_from_a_file(site: Website, browsers: list[BrowserEnv], tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    rows = [
        {"id": "home", "url": site.url(), "goal": "Say hello.", "judge": {"message": "hello"}},
        {"url": site.url("/next"), "goal": "Say bye.", "judge": {"message": "bye"}},
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    env = BrowserEnv(tasks=file)
    browsers.append(env)
    assert [env.tasks[i].id for i in range(len(env.tasks))] == ["home", "2"]
    observation, _ = env.reset(options={"task": "2"})
    assert observation["text"].startswith("Goal: Say bye.")
    assert env.step('send_msg_to_user("bye")')[1] == 1.0
    file.write_text('{"url": "http://x.test", "goal": "?"}')
    with pytest.raises(DataError, match="line 1: a task has goal, judge, url"):
        BrowserEnv(tasks=file)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": "http://x.test"}, "all three"),
        ({"url": "ftp://x.test", "goal": "?", "judge": NEVER}, "begins at an address"),
        ({"url": "http://x.test", "goal": "?", "judge": {"words": "x"}}, "no condition 'words'"),
        ({"url": "http://x.test", "goal": "?", "judge": {"text": "("}}, "regular expression"),
        ({"hosts": "x.test"}, "hosts is a list"),
        ({"hosts": ["http://x.test"]}, "A host is written as"),
        ({"hosts": ["*.x.test:80"]}, "A host is written as"),
        ({"actions": ["elements", "elements"]}, "different groups"),
        ({"judged": "never"}, "judged is"),
        ({"max_chars": 0}, "must be above 0"),
    ],
)
def test_options_that_are_none(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        BrowserEnv(**options)


def test_names_that_are_none() -> None:
    with pytest.raises(UnknownNameError, match="style"):
        BrowserEnv(style="xml")
    with pytest.raises(UnknownNameError, match="group of actions"):
        BrowserEnv(actions=["clicks"])


def test_a_long_page_is_laid_out_beside_its_scroll_bar(site: Website, visit: Any) -> None:
    site.pages["/"] = """<p id="out"></p><div style="height: 3000px"></div>
        <script>out.textContent = `bar of ${innerWidth - document.documentElement.clientWidth}`
        </script>"""
    _, text = visit()
    assert re.search(r"bar of [1-9]\d*", text)
