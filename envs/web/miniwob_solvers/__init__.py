"""Experts for MiniWoB++'s pages: from what the goal says and the page shows, the next action.

Each is a function of both alone, without a memory: it does what is still to be done. `EXPERTS` has
them by page; a page that isn't there has none.
"""

from collections.abc import Mapping
from types import MappingProxyType

from agentgym.actions import ParsedAction
from agentgym.envs.web.miniwob_solvers import clicking, filling, mail
from agentgym.envs.web.miniwob_solvers.moves import Expert
from agentgym.envs.web.sight import Sight


def advice(page: str, goal: str, sight: Sight) -> ParsedAction | None:
    """Return what a page's expert would do now; None where there is none, or it is at a loss."""
    expert = EXPERTS.get(page)
    call = None if expert is None else expert(goal, sight)
    return None if call is None else ParsedAction((call,))


EXPERTS: Mapping[str, Expert] = MappingProxyType(
    {
        "click-test": clicking.only_button,
        "click-test-2": clicking.named_button,
        "click-test-transfer": clicking.named_button,
        "click-button": clicking.named_button,
        "click-button-sequence": clicking.button_sequence,
        "click-checkboxes": filling.checkboxes,
        "click-checkboxes-large": filling.checkboxes,
        "click-checkboxes-transfer": filling.checkboxes,
        "click-option": filling.radio,
        "click-color": clicking.color,
        "click-dialog": clicking.dialog,
        "click-dialog-2": clicking.dialog_named,
        "click-link": clicking.link,
        "click-widget": clicking.widget,
        "choose-list": filling.select,
        "click-scroll-list": filling.scroll_list,
        "enter-text": filling.text,
        "enter-text-2": filling.text,
        "enter-text-dynamic": filling.text,
        "enter-password": filling.password,
        "enter-date": filling.date,
        "enter-time": filling.time,
        "focus-text": clicking.focus,
        "focus-text-2": clicking.focus_nth,
        "login-user": filling.login,
        "simple-arithmetic": filling.arithmetic,
        "simple-algebra": filling.algebra,
        "find-word": filling.word,
        "copy-paste": filling.copied,
        "unicode-test": clicking.named_button,
        "click-tab": clicking.tab,
        "click-tab-2": clicking.in_sections,
        "click-tab-2-easy": clicking.in_sections,
        "click-tab-2-medium": clicking.in_sections,
        "click-tab-2-hard": clicking.in_sections,
        "click-collapsible": clicking.section,
        "click-collapsible-nodelay": clicking.section,
        "click-collapsible-2": clicking.in_sections,
        "click-collapsible-2-nodelay": clicking.in_sections,
        "identify-shape": clicking.shape,
        "buy-ticket": clicking.cheapest,
        "scroll-text-2": clicking.scrolled,
        "read-table": filling.table_value,
        "read-table-2": filling.table_values,
        "text-transform": filling.spelled,
        "scroll-text": filling.last_word,
        "copy-paste-2": filling.nth_text,
        "use-spinner": filling.spinner,
        "multi-orderings": filling.movie,
        "multi-layouts": filling.movie,
        "form-sequence-2": filling.radio_and_number,
        "odd-or-even": filling.parity,
        "login-user-popup": filling.login_in_spite_of_popups,
        "email-inbox-delete": mail.icon,
        "email-inbox-important": mail.icon,
    }
)
"""The experts by page."""
