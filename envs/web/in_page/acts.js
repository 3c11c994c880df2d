// What is done to elements from within the page, and where a pointer reaches them.

const deepest = (x, y) => {
  let root = document, hit = null, [px, py] = [x, y];
  for (;;) {
    const inner = root.elementFromPoint(px, py);
    if (!inner || inner === hit) return hit;
    hit = inner;
    if (inner.shadowRoot) { root = inner.shadowRoot; continue; }
    if (inner.tagName === "IFRAME") {
      try {
        if (!inner.contentDocument) return hit;
        const frame = inner.getBoundingClientRect();
        px -= frame.left + inner.clientLeft; py -= frame.top + inner.clientTop;
        root = inner.contentDocument;
        continue;
      } catch { return hit; }
    }
    return hit;
  }
};

const isWithin = (inner, outer) => {
  for (let node = inner; node; node = node.parentNode ?? node.host ?? null) {
    if (node === outer) return true;
  }
  return false;
};

const frameOffset = (element) => {
  let x = 0, y = 0;
  for (let view = element.ownerDocument.defaultView; view && view !== window;
    view = view.parent) {
    const frame = view.frameElement;
    if (!frame) break;
    const rect = frame.getBoundingClientRect();
    x += rect.left + frame.clientLeft; y += rect.top + frame.clientTop;
  }
  return { x, y };
};

// Whether a pointer at a point of this page reaches the frame that is there, and not what covers it.
const reachesFrame = (x, y) => {
  const hit = x >= 0 && y >= 0 && x < innerWidth && y < innerHeight ? deepest(x, y) : null;
  if (!hit) return { error: "It can't be scrolled into view." };
  return hit.tagName === "IFRAME" ? {} : { error: `Its frame is covered by ${describe(hit)}.` };
};

const isDisabled = (element) => element.matches(":disabled") ||
  element.getAttribute("aria-disabled") === "true";

// A point at which a pointer reaches the element, or why there is none.
const locate = (number, { enabled = true } = {}) => {
  const { element, error } = find(number);
  if (error) return { error };
  const what = describe(element);
  if (element.tagName === "OPTION" && element.closest("select")) {
    return { error: `${what} is in a list; use select_option on ${describe(element.closest("select"))}.` };
  }
  if (enabled && isDisabled(element)) return { error: `${what} is disabled.` };
  if (getComputedStyle(element).visibility !== "visible" || !element.getClientRects().length) {
    return { error: `${what} is not visible.` };
  }
  element.scrollIntoViewIfNeeded?.();
  const { x, y } = frameOffset(element);
  let cover = null;
  for (const rect of element.getClientRects()) {
    for (const [across, down] of [[.5, .5], [.25, .5], [.75, .5], [.5, .25], [.5, .75], [.1, .1],
      [.9, .9], [.1, .9], [.9, .1]]) {
      const px = x + rect.left + across * rect.width, py = y + rect.top + down * rect.height;
      if (px < 0 || py < 0 || px >= innerWidth || py >= innerHeight) continue;
      const hit = deepest(px, py);
      if (hit && (isWithin(hit, element) || hit.closest?.("label")?.control === element)) {
        return { x: px, y: py };
      }
      cover ??= hit;
    }
  }
  if (!cover) return { error: `${what} can't be scrolled into view.` };
  return { error: `${what} is covered by ${describe(cover)}.` };
};

const focus = (number) => {
  const { element, error } = find(number);
  if (error) return { error };
  if (isDisabled(element)) return { error: `${describe(element)} is disabled.` };
  element.scrollIntoViewIfNeeded?.();
  element.focus();
  const root = element.getRootNode();
  if (root.activeElement !== element) return { error: `${describe(element)} takes no focus.` };
  return {};
};

const announce = (element) => {
  element.dispatchEvent(new Event("input", { bubbles: true }));
  element.dispatchEvent(new Event("change", { bubbles: true }));
};

const TYPED = new Set(["", "text", "search", "email", "url", "tel", "password", "number"]);
const fill = (number, text) => {
  const { element, error } = find(number);
  if (error) return { error };
  const what = describe(element);
  const isInput = element.tagName === "INPUT";
  if (!isInput && element.tagName !== "TEXTAREA" && !element.isContentEditable) {
    return { error: `${what} takes no text.` };
  }
  if (isInput && ["checkbox", "radio", "file", "button", "submit", "reset", "image"]
    .includes(element.type)) return { error: `${what} takes no text.` };
  if (isDisabled(element) || element.readOnly) {
    return { error: `${what} is ${element.readOnly ? "read-only" : "disabled"}.` };
  }
  if (!element.getClientRects().length) return { error: `${what} is not visible.` };
  const focused = focus(number);
  if (focused.error) return focused;
  if (isInput && !TYPED.has(element.type)) {
    const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
    set.call(element, text);
    if (element.value !== text && element.type !== "range") {
      return { error: `${what} does not take ${JSON.stringify(text)}: it is a ${element.type}.` };
    }
    announce(element);
    return {};
  }
  if (element.isContentEditable) element.ownerDocument.getSelection().selectAllChildren(element);
  else element.select();
  element.ownerDocument.execCommand(text ? "insertText" : "delete", false, text);
  return {};
};

const select = (number, wanted) => {
  const { element, error } = find(number);
  if (error) return { error };
  const what = describe(element);
  if (element.tagName !== "SELECT") return { error: `${what} is no list to select from.` };
  if (isDisabled(element)) return { error: `${what} is disabled.` };
  if (wanted.length > 1 && !element.multiple) return { error: `${what} takes one option.` };
  const options = [...element.options];
  const chosen = [];
  for (const each of wanted) {
    const option = options.find((o) => squeeze(o.label) === squeeze(each)) ??
      options.find((o) => o.value === each);
    if (!option) {
      const known = options.slice(0, 20).map((o) => JSON.stringify(squeeze(o.label))).join(", ");
      return { error: `${what} has no option ${JSON.stringify(each)}; it has ${known}.` };
    }
    if (option.disabled) return { error: `Option ${JSON.stringify(each)} is disabled.` };
    chosen.push(option);
  }
  element.scrollIntoViewIfNeeded?.();
  element.focus();
  for (const option of options) option.selected = chosen.includes(option);
  announce(element);
  return {};
};

const checked = (number) => {
  const { element, error } = find(number);
  if (error) return { error };
  const state = element.getAttribute("aria-checked");
  if (state === null && !["checkbox", "radio"].includes(element.type)) {
    return { error: `${describe(element)} can't be checked.` };
  }
  return { checked: state === null ? element.checked : state === "true" };
};

const scroll = (number, dx, dy) => {
  let element = document.scrollingElement ?? document.documentElement;
  if (number !== null) {
    const found = find(number);
    if (found.error) return found;
    element = found.element;
  } else {
    element = deepest(innerWidth / 2, innerHeight / 2) ?? element;
  }
  const before = (node) => [node.scrollLeft, node.scrollTop].join();
  for (let node = element; node; node = node.parentElement ?? node.getRootNode().host ?? null) {
    const was = before(node);
    node.scrollBy({ left: dx, top: dy, behavior: "instant" });
    if (before(node) !== was) return {};
  }
  return { error: "Nothing there scrolls any further in that direction." };
};

const takesFiles = (number) => {
  const { element, error } = find(number);
  if (error) return { error };
  const takes = element.tagName === "INPUT" && element.type === "file";
  return takes ? {} : { error: `${describe(element)} takes no file.` };
};
