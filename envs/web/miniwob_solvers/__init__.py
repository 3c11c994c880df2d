"""Experts for MiniWoB++'s pages: from what the goal says and the page shows, the next action.

Each is a function of both alone, without a memory: it does what is still to be done. `EXPERTS` has
them by page; a page that isn't there has none.
"""

from collections.abc import Mapping
from types import MappingProxyType

from agentgym.actions import ParsedAction
from agentgym.envs.web.miniwob_solvers import (
    choosing,
    clicking,
    dates,
    dragging,
    drawn,
    filling,
    finding,
    mail,
    sliders,
    social,
    writing,
)
from agentgym.envs.web.miniwob_solvers.moves import Expert
from agentgym.envs.web.sight import Sight


def advice(page: str, goal: str, sight: Sight) -> ParsedAction | None:
    """Return what a page's expert would do now; None where there is none, or it is at a loss."""
    expert = EXPERTS.get(page)
    call = None if expert is None else expert(goal, sight)
    return None if call is None else ParsedAction((call,))


EXPERTS: Mapping[str, Expert] = MappingProxyType(
    {
        "ascending-numbers": drawn.ascending,
        "book-flight": dates.flight,
        "book-flight-nodelay": dates.flight,
        "buy-ticket": clicking.cheapest,
        "choose-date": dates.chosen,
        "choose-date-easy": dates.chosen,
        "choose-date-medium": dates.chosen,
        "choose-date-nodelay": dates.chosen,
        "choose-list": choosing.select,
        "click-button": clicking.named_button,
        "click-button-sequence": clicking.button_sequence,
        "click-checkboxes": choosing.checkboxes,
        "click-checkboxes-large": choosing.checkboxes,
        "click-checkboxes-transfer": choosing.checkboxes,
        "click-collapsible": clicking.section,
        "click-collapsible-2": clicking.in_sections,
        "click-collapsible-2-nodelay": clicking.in_sections,
        "click-collapsible-nodelay": clicking.section,
        "click-color": clicking.color,
        "click-dialog": clicking.dialog,
        "click-dialog-2": clicking.dialog_named,
        "click-link": clicking.link,
        "click-menu": finding.in_menu,
        "click-option": choosing.radio,
        "click-scroll-list": choosing.scroll_list,
        "click-shades": drawn.shades,
        "click-shape": drawn.described,
        "click-tab": clicking.tab,
        "click-tab-2": clicking.in_sections,
        "click-tab-2-easy": clicking.in_sections,
        "click-tab-2-hard": clicking.in_sections,
        "click-tab-2-medium": clicking.in_sections,
        "click-test": clicking.only_button,
        "click-test-2": clicking.named_button,
        "click-test-transfer": clicking.named_button,
        "click-widget": clicking.widget,
        "copy-paste": filling.copied,
        "copy-paste-2": filling.nth_text,
        "count-shape": drawn.counted,
        "drag-box": dragging.small_into_large,
        "drag-circle": dragging.to_border,
        "drag-items": dragging.item,
        "drag-items-grid": dragging.item_in_grid,
        "drag-shapes": dragging.into_box,
        "drag-shapes-2": dragging.into_boxes,
        "drag-single-shape": dragging.to_border,
        "drag-sort-numbers": dragging.sorted_numbers,
        "draw-line": dragging.line,
        "email-inbox": mail.asked,
        "email-inbox-delete": mail.icon,
        "email-inbox-forward": mail.written,
        "email-inbox-forward-nl": mail.written,
        "email-inbox-important": mail.icon,
        "email-inbox-noscroll": mail.asked,
        "email-inbox-reply": mail.written,
        "email-inbox-star-reply": mail.asked,
        "enter-date": filling.date,
        "enter-password": filling.password,
        "enter-text": filling.text,
        "enter-text-2": filling.text,
        "enter-text-dynamic": filling.text,
        "enter-time": filling.time,
        "find-word": filling.word,
        "focus-text": clicking.focus,
        "focus-text-2": clicking.focus_nth,
        "form-sequence": sliders.slider_and_checkbox,
        "form-sequence-2": filling.radio_and_number,
        "form-sequence-3": choosing.dropdown,
        "generate-number": writing.generated,
        "grid-coordinate": drawn.coordinate,
        "guess-number": writing.guessed,
        "highlight-text": dragging.highlighted,
        "highlight-text-2": dragging.highlighted,
        "identify-shape": clicking.shape,
        "login-user": filling.login,
        "login-user-popup": filling.login_in_spite_of_popups,
        "multi-layouts": filling.movie,
        "multi-orderings": filling.movie,
        "navigate-tree": finding.in_tree,
        "odd-or-even": filling.parity,
        "order-food": choosing.ordered,
        "phone-book": finding.contact,
        "read-table": filling.table_value,
        "read-table-2": filling.table_values,
        "scroll-text": filling.last_word,
        "scroll-text-2": clicking.scrolled,
        "search-engine": finding.result,
        "sign-agreement": writing.agreement,
        "simple-algebra": filling.algebra,
        "simple-arithmetic": filling.arithmetic,
        "social-media": social.icon_of,
        "social-media-all": social.icons_of,
        "social-media-some": social.icons_of,
        "terminal": writing.removed,
        "text-editor": writing.styled,
        "text-transform": filling.spelled,
        "unicode-test": clicking.named_button,
        "use-autocomplete": writing.completed,
        "use-autocomplete-nodelay": writing.completed,
        "use-colorwheel": writing.color,
        "use-slider": sliders.slider,
        "use-slider-2": sliders.sliders,
        "use-spinner": filling.spinner,
        "visual-addition": drawn.blocks,
    }
)
"""The experts by page."""
