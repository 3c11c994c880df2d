"""Reading pages of all kinds, acting on them, and saying why something can't be done."""

from typing import Any

import pytest
from web_pages import labels
from websites import Website, website

pytestmark = pytest.mark.integration


def error_of(env: Any, action: str) -> str:
    """Return why an action couldn't be done."""
    told = env.step(action)[4]["action_error"]
    assert told is not None
    return str(told)


# Reading.


def test_an_element_that_is_odd_costs_nothing_but_itself(site: Website, visit: Any) -> None:
    site.pages["/drawing"] = "<svg xmlns='http://www.w3.org/2000/svg'></svg>"
    site.pages["/"] = """<img src="/100%.png" width="20" height="20">
        <iframe src="data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>"></iframe>
        <form style="display: block"><input name="matches"><input name="getAttribute"></form>
        <button>Go</button>"""
    _, text = visit()
    assert 'img "100%.png"' in text
    assert "Go" in labels(text)
    _, text = visit(style="html")
    assert "Go</button>" in text


def test_shadow_roots_and_slots_are_part_of_the_page(site: Website, visit: Any) -> None:
    site.pages["/"] = """<x-card><b>Slotted</b></x-card>
        <div style="display: contents"><button>Bare</button> words</div>
        <div style="opacity: 0"><button>Ghost</button></div>
        <script>customElements.define("x-card", class extends HTMLElement {
            connectedCallback() {
                this.attachShadow({ mode: "open" }).innerHTML =
                    "<button onclick='this.nextSibling.textContent = 1'><slot></slot></button>" +
                    "<p>0</p>";
            }
        })</script>"""
    env, text = visit()
    at = labels(text)
    assert {"Slotted", "Bare", "0"} <= at.keys()
    assert "words" in text
    assert "Ghost" not in text
    text = env.step(f"click({at['Slotted']})")[0]["text"]
    assert "1" in labels(text)


def test_frames_of_its_own_origin_are_part_of_the_page(site: Website, visit: Any) -> None:
    site.pages["/inner"] = """<button onclick="setTimeout(() => {
        setTimeout(() => { out.textContent = 'done' }, 10); out.textContent = 'begun' }, 5)">In
        </button><p id="out">idle</p>"""
    site.pages["/"] = '<h1>Outside</h1><iframe src="/inner"></iframe>'
    env, text = visit()
    at = labels(text)
    text = env.step(f"click({at['In']})")[0]["text"]
    assert "done" in text


def test_what_changes_in_a_shadow_root_is_waited_for(site: Website, visit: Any) -> None:
    site.pages["/"] = """<div id="host"></div><script>
        const root = host.attachShadow({ mode: "open" });
        root.innerHTML = "<button>Count</button><p>0</p>";
        root.querySelector("button").onclick = () => {
            let n = 0;
            const timer = setInterval(() => {
                root.querySelector("p").textContent = ++n;
                if (n === 10) clearInterval(timer);
            }, 10);
        };</script>"""
    env, text = visit()
    assert "10" in labels(env.step(f"click({labels(text)['Count']})")[0]["text"])


def test_a_frame_that_may_not_be_visited_is_no_error_of_the_model(
    site: Website, visit: Any
) -> None:
    with website() as other:
        site.pages["/"] = f'<h1>Home</h1><iframe src="{other.url("/")}"></iframe>'
        env, text = visit()
        assert "Home" in text
        assert env.step("noop()")[4]["action_error"] is None
        assert other.asked == []


def test_a_page_that_is_never_whole_begins_all_the_same(site: Website, visit: Any) -> None:
    site.delays["/image"] = 20.0
    site.pages["/"] = '<h1>Home</h1><img src="/image">'
    env, text = visit(settle_seconds=0.3)
    assert "Home" in text
    assert env.step("noop()")[4]["action_error"] is None


# Acting.


def test_boxes_lists_and_fields(site: Website, visit: Any) -> None:
    site.pages["/"] = """<label><input type="checkbox"> Box</label>
        <input aria-label="Name" value="old">
        <button id="b" ondblclick="this.textContent = 'Twice'"
            onmouseover="out.textContent = 'over'">Once</button><p id="out">-</p>"""
    env, text = visit()
    at = labels(text)
    assert "checked" in line(env.step(f"check({at['Box']})"), at["Box"]).split()
    assert "checked" in line(env.step(f"check({at['Box']})"), at["Box"]).split()
    assert "unchecked" in line(env.step(f"uncheck({at['Box']})"), at["Box"]).split()
    assert 'value=""' in line(env.step(f"clear({at['Name']})"), at["Name"])
    assert "over" in env.step(f"hover({at['Once']})")[0]["text"]
    assert "Twice" in labels(env.step(f"dblclick({at['Once']})")[0]["text"])
    assert "can't be checked" in error_of(env, f"check({at['Name']})")


def line(outcome: Any, label: str) -> str:
    """Return the line of an element in an observation."""
    lines = outcome[0]["text"].splitlines()
    return next(each for each in lines if each.strip().startswith(f"[{label}]"))


def test_things_are_dragged_and_pages_scrolled(site: Website, visit: Any) -> None:
    site.pages["/"] = """<div draggable="true" ondragstart="1" role="button">Ball</div>
        <div role="button" ondragover="event.preventDefault()" tabindex="0"
            ondrop="this.textContent = 'Scored'">Goal</div>
        <p style="margin-top: 2000px">Bottom</p>"""
    env, text = visit()
    at = labels(text)
    assert "offscreen" in line((env.step("noop()")), at["Bottom"])
    text = env.step(f"drag_and_drop({at['Ball']}, {at['Goal']})")[0]["text"]
    assert "Scored" in labels(text)
    assert "offscreen" not in line(env.step("scroll(0, 5000)"), at["Bottom"])
    assert "scrolls any further" in error_of(env, "scroll(0, 5000)")


def test_keys_are_held_and_texts_put_in_at_once(site: Website, visit: Any) -> None:
    site.pages["/"] = """<input aria-label="Name" autofocus><p id="out">-</p><script>
        onclick = (event) => { out.textContent = event.shiftKey ? "with" : "without" };
        </script>"""
    env, text = visit(actions=["elements", "coordinates"])
    at = labels(text)["Name"]
    env.step(f"click({at})")
    assert 'value="ünïcode"' in env.step('keyboard_insert_text("ünïcode")')[0]["text"]
    env.step('keyboard_down("Shift")')
    assert '"with"' in env.step("mouse_click(300, 300)")[0]["text"]
    env.step('keyboard_up("Shift")')
    assert '"without"' in env.step("mouse_click(300, 300)")[0]["text"]
    assert error_of(env, 'keyboard_down("Nokey")') == "There is no key 'Nokey'."


def test_it_is_said_why_something_cannot_be_done(site: Website, visit: Any) -> None:
    site.pages["/"] = """<button>Below</button>
        <div style="position: fixed; inset: 0; background: white" role="dialog">Notice</div>
        <button disabled style="position: fixed; z-index: 9">Grey</button>"""
    env, text = visit()
    at = labels(text)
    assert "is covered by" in error_of(env, f"click({at['Below']})")
    assert "Notice" in error_of(env, f"click({at['Below']})")
    assert "is disabled" in error_of(env, f"click({at['Grey']})")


def test_a_frame_that_is_covered_takes_no_click(site: Website, visit: Any) -> None:
    with website() as other:
        other.pages["/frame"] = "<button onclick='this.textContent = 1'>In</button>"
        frame = other.url("/frame", "localhost")
        site.pages["/"] = f"""<iframe src="{frame}"></iframe>
            <div style="position: fixed; inset: 0; background: white" role="dialog">Notice</div>"""
        env, text = visit(hosts=[f"localhost:{other.port}"])
        assert "is covered by" in error_of(env, f'click("{labels(text)["In"]}")')


def test_dialogs_are_accepted_and_told(site: Website, visit: Any) -> None:
    site.pages["/"] = """<button onclick="
        this.textContent = confirm('Really?') ? 'Sure' : 'No'">Ask</button>"""
    env, text = visit()
    text = env.step(f"click({labels(text)['Ask']})")[0]["text"]
    assert text.startswith("A dialog opened and was accepted: confirm: Really?")
    assert "Sure" in labels(text)


def test_files_are_not_downloaded(site: Website, visit: Any) -> None:
    site.pages |= {"/": '<a href="/data" download>Save</a>', "/zip": "PK"}
    site.kinds["/zip"] = "application/zip"
    env, text = visit()
    text = env.step(f"click({labels(text)['Save']})")[0]["text"]
    assert "Save" in labels(text)  # and the page is still there
    assert error_of(env, f'goto("{site.url("/zip")}")') == (
        f"{site.url('/zip')} is a file to download, which is off."
    )


def test_who_leads_elsewhere_leads_nowhere(site: Website, visit: Any) -> None:
    with website() as other:
        site.pages["/"] = f"""<button onclick="location = '{other.url("/")}'">Away</button>
            <button onclick="window.open('{other.url("/")}')">Window</button>"""
        env, text = visit()
        at = labels(text)
        env.step(f"click({at['Window']})")
        env.step("tab_focus(0)")
        assert "may not be visited" in error_of(env, f"click({at['Away']})")
        assert other.asked == []


def test_any_host_is_not_this_machine(site: Website, visit: Any) -> None:
    with website() as other:
        env, _ = visit(hosts=["*"])
        assert "may not be visited" in error_of(env, f'goto("{other.url("/")}")')
        site.pages["/"] = f"""<p id="out">-</p><script>
            fetch("{other.url("/")}", {{ mode: "no-cors" }}).then(() => "in", () => "out")
                .then((said) => {{ document.getElementById("out").textContent = said }});
            </script>"""
        assert "out" in labels(env.reset(seed=1)[0]["text"])
        assert other.asked == []
