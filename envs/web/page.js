// What runs inside every page: elements get numbers, and the page is written out as text.
//
// It is there before the page's own scripts. What it does goes by one name, window.__agentgym, and
// it changes two functions of the page: addEventListener remembers which elements listen for a
// pointer (that is how what can be clicked is told from what can't, whatever library a page is made
// with), and attachShadow has what changes in a shadow root noticed.
(() => {
  if (Object.prototype.hasOwnProperty.call(window, "__agentgym")) return;

  const POINTER = new Set(["click", "mousedown", "mouseup", "pointerdown", "pointerup", "dblclick",
    "touchstart", "mouseover", "mouseenter", "dragstart"]);
  const listening = new WeakSet();
  const original = EventTarget.prototype.addEventListener;
  EventTarget.prototype.addEventListener = function addEventListener(type, ...rest) {
    if (POINTER.has(type) && this instanceof Element) listening.add(this);
    return original.call(this, type, ...rest);
  };

  const LEFT_OUT = new Set(["SCRIPT", "STYLE", "NOSCRIPT", "TEMPLATE", "HEAD", "META", "LINK",
    "TITLE", "BR", "DEFS", "SOURCE", "PARAM"]);
  const ROLES = {
    BUTTON: "button", TEXTAREA: "textbox", H1: "heading", H2: "heading", H3: "heading",
    H4: "heading", H5: "heading", H6: "heading", IMG: "img", CANVAS: "canvas", LABEL: "label",
    LI: "listitem", UL: "list", OL: "list", TABLE: "table", TR: "row", TD: "cell",
    TH: "columnheader", FORM: "form", DIALOG: "dialog", OPTION: "option", OPTGROUP: "group",
    SUMMARY: "button", FIELDSET: "group", NAV: "navigation", MAIN: "main", IFRAME: "iframe",
    PROGRESS: "progressbar", VIDEO: "video", AUDIO: "audio",
    circle: "circle", rect: "rect", ellipse: "ellipse", polygon: "polygon", path: "path",
    line: "line", polyline: "polyline", text: "text",
  };
  const INPUTS = {
    button: "button", submit: "button", reset: "button", image: "button", checkbox: "checkbox",
    radio: "radio", range: "slider", number: "spinbutton", search: "searchbox", file: "file",
    color: "color", date: "date", time: "time", month: "month", week: "week",
    "datetime-local": "datetime",
  };
  const SHAPES = new Set(["circle", "rect", "ellipse", "polygon", "path", "line", "polyline"]);
  const CONTROLS = new Set(["button", "link", "textbox", "searchbox", "checkbox", "radio", "slider",
    "spinbutton", "combobox", "listbox", "option", "tab", "menuitem", "menuitemcheckbox",
    "menuitemradio", "switch", "treeitem", "file", "color", "date", "time", "month", "week",
    "datetime"]);
  const GROUPS = new Set(["list", "table", "row", "form", "dialog", "group", "navigation", "main",
    "iframe", "listbox", "combobox", "menu", "menubar", "tablist", "tabpanel", "tree", "grid",
    "toolbar", "radiogroup"]);

  let next = 1;
  let numbers = new WeakMap();
  let elements = new Map();
  // What a frame's numbers begin with, where the page can't look into it.
  let prefix = "";

  const numberOf = (element) => {
    let number = numbers.get(element);
    if (number === undefined) {
      number = next++;
      numbers.set(element, number);
      elements.set(number, new WeakRef(element));
    }
    return number;
  };

  // Every frame remembers its own.
  const listens = (element) => {
    const view = element.ownerDocument.defaultView;
    return view === window ? listening.has(element) : view?.__agentgym?.listens(element) ?? false;
  };

  const squeeze = (text) => text.replace(/\s+/g, " ").trim();

  const roleOf = (element) => {
    const given = element.getAttribute("role");
    if (given === "presentation" || given === "none") return "";
    if (given) return given.trim().split(/\s+/)[0];
    const tag = element.tagName;
    if (tag === "A") return element.hasAttribute("href") ? "link" : "";
    if (tag === "INPUT") return INPUTS[element.type] ?? "textbox";
    if (tag === "SELECT") return element.multiple || element.size > 1 ? "listbox" : "combobox";
    if (element.isContentEditable && !element.parentElement?.isContentEditable) return "textbox";
    return ROLES[tag] ?? "";
  };

  const controls = (element, role) => element !== element.ownerDocument.body &&
    element !== element.ownerDocument.documentElement && (CONTROLS.has(role) || listens(element) || typeof element.onclick === "function" ||
    typeof element.onmousedown === "function" ||
    (element.tabIndex >= 0 && element.hasAttribute("tabindex")));

  const children = (node) => {
    if (node.shadowRoot) return [...node.shadowRoot.childNodes];
    if (node.tagName === "SLOT") {
      const assigned = node.assignedNodes({ flatten: true });
      if (assigned.length) return assigned;
    }
    if (node.tagName === "IFRAME") {
      try { return node.contentDocument?.body ? [node.contentDocument.body] : []; } catch { return []; }
    }
    return [...node.childNodes];
  };

  // What an image without words is called: its file.
  const fileOf = (source) => {
    const name = source.split("/").pop();
    try { return decodeURIComponent(name).slice(0, 80); } catch { return name.slice(0, 80); }
  };

  // A label's own words, without those of the fields in it.
  const labelOf = (label) => {
    const words = (node) => {
      if (node.nodeType === Node.TEXT_NODE) return node.data;
      if (["SELECT", "TEXTAREA", "BUTTON", "SCRIPT", "STYLE"].includes(node.tagName)) return "";
      return [...node.childNodes].map(words).join("");
    };
    return squeeze(words(label));
  };

  const named = (element, role) => {
    const own = element.getAttribute("aria-label");
    if (own) return squeeze(own);
    const by = element.getAttribute("aria-labelledby");
    if (by) {
      const root = element.getRootNode();
      const parts = by.split(/\s+/).map((id) => root.getElementById?.(id)?.textContent ?? "");
      if (squeeze(parts.join(" "))) return squeeze(parts.join(" "));
    }
    if (element.tagName === "INPUT" && ["button", "submit", "reset"].includes(element.type)) {
      return squeeze(element.value || (element.type === "submit" ? "Submit" : ""));
    }
    if (element.labels?.length) {
      return squeeze([...element.labels].map(labelOf).join(" "));
    }
    if (role === "img" && (element.alt || element.src)) {
      return element.alt || fileOf(element.src);
    }
    return squeeze(element.getAttribute("title") || element.getAttribute("placeholder") || "");
  };

  const intersection = (a, b) => ({
    left: Math.max(a.left, b.left), top: Math.max(a.top, b.top),
    right: Math.min(a.right, b.right), bottom: Math.min(a.bottom, b.bottom),
  });
  const isEmpty = (box) => box.right - box.left < 1 || box.bottom - box.top < 1;

  // What is selected in an element: in the focused field, or of the words of a page.
  const selectedIn = (element) => {
    const root = element.getRootNode();
    if (typeof element.selectionStart === "number") {
      const [from, to] = [element.selectionStart, element.selectionEnd];
      return root.activeElement === element ? element.value.slice(from, to) : "";
    }
    const selection = element.ownerDocument.getSelection();
    if (!selection?.rangeCount || selection.isCollapsed ||
      !selection.containsNode(element, true)) return "";
    const range = selection.getRangeAt(0).cloneRange(), all = document.createRange();
    all.selectNodeContents(element);
    if (range.compareBoundaryPoints(Range.START_TO_START, all) < 0) {
      range.setStart(all.startContainer, all.startOffset);
    }
    if (range.compareBoundaryPoints(Range.END_TO_END, all) > 0) {
      range.setEnd(all.endContainer, all.endOffset);
    }
    return range.toString();
  };

  // Whether the keys of a menu or a list go to this one of its items.
  const isActive = (element) => element.id !== "" &&
    element.getRootNode().querySelector(`[aria-activedescendant=${CSS.escape(element.id)}]`) !== null;

  const stateOf = (element, role) => {
    const told = [];
    if (["textbox", "searchbox", "spinbutton", "slider", "color", "date", "time", "month", "week",
      "datetime"].includes(role)) {
      const value = element.value ?? (element.isContentEditable ? element.innerText : null);
      if (value !== null && value !== undefined) told.push(`value=${JSON.stringify(value)}`);
    }
    if (element.tagName === "TEXTAREA") told.push("multiline");
    if (role === "combobox" && element.tagName === "SELECT") {
      told.push(`value=${JSON.stringify(squeeze(element.selectedOptions[0]?.textContent ?? ""))}`);
    }
    const checked = element.getAttribute("aria-checked");
    if (role === "checkbox" || role === "radio" || checked !== null) {
      told.push((checked ?? String(element.checked)) === "true" ? "checked" : "unchecked");
    }
    if (role === "option" ? element.selected : element.getAttribute("aria-selected") === "true") {
      told.push("selected");
    }
    const expanded = element.getAttribute("aria-expanded") ??
      (element.tagName === "SUMMARY" ? String(element.parentElement?.open === true) : null);
    if (expanded !== null) told.push(expanded === "true" ? "expanded" : "collapsed");
    if (element.disabled || element.getAttribute("aria-disabled") === "true") told.push("disabled");
    if (element.readOnly) told.push("readonly");
    if (element.getRootNode().activeElement === element && element !== document.body) told.push("focused");
    if (CONTROLS.has(role) && isActive(element)) told.push("active");
    const selected = role === "textbox" || role === "" ? squeeze(selectedIn(element)) : "";
    if (selected) told.push(`selection=${JSON.stringify(selected)}`);
    return told;
  };

  // A colour says what a shape without words is.
  const paintOf = (element, role, style) => {
    const told = [];
    if (element instanceof element.ownerDocument.defaultView.SVGElement) {
      const fill = element.getAttribute("fill") || style.fill;
      const stroke = element.getAttribute("stroke") || style.stroke;
      if (fill && fill !== "none") told.push(`fill=${fill.replaceAll(" ", "")}`);
      else if (stroke && stroke !== "none") told.push(`stroke=${stroke.replaceAll(" ", "")}`);
      return told;
    }
    if (CONTROLS.has(role)) return told;
    const color = element.style.backgroundColor || style.backgroundColor;
    if (color && color !== "rgba(0, 0, 0, 0)" && color !== "transparent") {
      told.push(`color=${color.replaceAll(" ", "")}`);
    }
    return told;
  };

  const hintOf = (element) => {
    const hint = element.getAttribute("class") || element.id;
    return hint ? [`class=${JSON.stringify(squeeze(hint).slice(0, 60))}`] : [];
  };

  const isForeign = (element) => {
    if (element.tagName !== "IFRAME") return false;
    try { return !element.contentDocument; } catch { return true; }
  };

  const observe = (options) => {
    const nodes = [];
    const skipped = options.skip ?? [];
    prefix = options.prefix ?? "";
    // One element that answers in a way of its own, as a form with a field called "matches" does,
    // is left out, and not the page with it.
    const walk = (node, ...rest) => {
      const kept = nodes.length;
      try { write(node, ...rest); } catch { nodes.length = kept; }
    };
    const write = (node, depth, clip, offset, parent) => {
      if (node.nodeType === Node.TEXT_NODE) {
        const text = squeeze(node.data);
        if (text && parent.seen) nodes.push({ depth, name: text, told: [] });
        return;
      }
      if (node.nodeType !== Node.ELEMENT_NODE || LEFT_OUT.has(node.tagName.toUpperCase())) return;
      if (skipped.some((selector) => node.matches(selector))) return;
      const style = getComputedStyle(node);
      if (style.display === "none") return;
      const rect = node.getBoundingClientRect();
      const box = { left: rect.left + offset.x, top: rect.top + offset.y,
        right: rect.right + offset.x, bottom: rect.bottom + offset.y };
      const inside = style.overflow === "visible" || node === document.body ||
        node === document.documentElement ? clip : intersection(clip, box);
      const role = roleOf(node);
      const isOption = role === "option" && node.tagName === "OPTION";
      const isShape = SHAPES.has(node.tagName);
      const clear = parent.clear && style.opacity !== "0";
      // What has no box of its own is where what is in it is.
      const isBoxless = style.display === "contents";
      const seen = isOption || (style.visibility === "visible" && clear && (isBoxless ? parent.seen
        : isShape ? rect.width + rect.height > 0 : !isEmpty(box)));
      const isControl = seen && !isBoxless && controls(node, role);
      const within = children(node);
      const isFrame = node.tagName === "IFRAME";
      const moved = isFrame ? { x: box.left + node.clientLeft, y: box.top + node.clientTop } : offset;
      const isShown = seen && !isBoxless && (role !== "" || isControl);
      const kept = nodes.length;
      if (!(node.tagName === "TEXTAREA" || (role === "textbox" && node.isContentEditable))) {
        if (isShown) numberOf(node);  // before what is in it, so that numbers go down the page
        for (const child of within) {
          walk(child, depth + (isShown ? 1 : 0), inside, moved, { seen, clear });
        }
      }
      const inner = nodes.splice(kept);
      // Words alone belong to the line of what they are in.
      const words = inner.length > 0 && inner.every((each) => each.number === undefined);
      const text = words ? inner.map((each) => each.name).join(" ") : "";
      const isLeaf = inner.length === 0 || words;
      const isDrawn = node.tagName === "text" || isShape;
      const paint = seen && isLeaf && (!text || isDrawn) ? paintOf(node, role, style) : [];
      const isBox = isLeaf && !text && paint.length > 0 && !GROUPS.has(role) && within.length === 0 &&
        node.tagName !== "svg";
      const isText = isLeaf && text !== "" && seen && !isBoxless && !isInline(node, style);
      if (!isShown && !isText && !isBox) { nodes.push(...inner); return; }
      const foreign = isFrame && isForeign(node);
      const isEmptyGroup = GROUPS.has(role) || role === "status" || role === "log";
      if (isShown && isEmptyGroup && !isControl && !foreign && inner.length === 0) return;
      let name = named(node, role);
      if (words && !GROUPS.has(role)) name = name && name !== text ? `${name} | ${text}` : text;
      const told = [];
      // An icon without words has a class that says what it is, as a rule.
      const isMute = !name && inner.every((each) => each.name === "");
      if (isMute && isControl && !paint.length) told.push(...hintOf(node));
      told.push(...stateOf(node, role), ...paint);
      if (isShape || role === "canvas" || isBox) {
        told.push(`${Math.round(rect.width)}x${Math.round(rect.height)}`);
      }
      if (isControl && !CONTROLS.has(role) && role !== "") told.push("clickable");
      const visible = isOption ? box : intersection(inside, box);
      const hidden = !isOption && !isShape && isEmpty(visible);
      if (hidden) told.push("offscreen");
      nodes.push({
        depth, number: numberOf(node), name, told,
        role: role || (isText ? "text" : isControl ? "clickable" : "box"),
        box: [box.left, box.top, rect.width, rect.height].map(Math.round),
        control: isControl && !hidden && !isOption, foreign,
      });
      if (!words || GROUPS.has(role)) nodes.push(...inner);
    };
    const window_ = { left: 0, top: 0, right: innerWidth, bottom: innerHeight };
    const whole = { seen: true, clear: true };
    if (document.body) walk(document.body, 0, window_, { x: 0, y: 0 }, whole);
    return { nodes, url: location.href, title: document.title };
  };

  // The page as HTML, without what can't be seen and what says nothing to a reader.
  const KEPT = ["type", "href", "alt", "title", "placeholder", "name", "for", "role", "aria-label",
    "aria-expanded", "aria-selected", "aria-checked"];
  const LONGEST = 200;
  const escaped = (text) => text.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);
  const VOID = new Set(["INPUT", "IMG", "HR", "AREA", "EMBED"]);

  const html = (options) => {
    const { nodes } = observe(options);
    const listed = new Set(nodes.map((node) => node.number));
    const lines = [];
    const skipped = options.skip ?? [];
    const attributes = (element) => {
      const told = [];
      const number = numbers.get(element);
      if (number !== undefined && listed.has(number)) told.push(`n="${prefix}${number}"`);
      for (const key of KEPT) {
        const value = element.getAttribute(key);
        if (value) told.push(`${key}="${squeeze(value).slice(0, LONGEST).replaceAll('"', "&quot;")}"`);
      }
      const value = element.tagName === "INPUT" || element.tagName === "TEXTAREA" ? element.value : "";
      if (value && element.type !== "checkbox" && element.type !== "radio") {
        told.push(`value="${value.replaceAll('"', "&quot;")}"`);
      }
      for (const key of ["checked", "selected", "disabled", "readOnly"]) {
        if (element[key] === true) told.push(key.toLowerCase());
      }
      return told.map((each) => ` ${each}`).join("");
    };
    const walk = (node, ...rest) => {
      const kept = lines.length;
      try { write(node, ...rest); } catch { lines.length = kept; }
    };
    const write = (node, depth, parent) => {
      const indent = "  ".repeat(depth);
      if (node.nodeType === Node.TEXT_NODE) {
        const text = squeeze(node.data);
        if (text && parent.seen) lines.push(indent + escaped(text));
        return;
      }
      if (node.nodeType !== Node.ELEMENT_NODE || LEFT_OUT.has(node.tagName.toUpperCase())) return;
      if (skipped.some((selector) => node.matches(selector))) return;
      const style = getComputedStyle(node);
      if (style.display === "none") return;
      const clear = parent.clear && style.opacity !== "0";
      const seen = style.visibility === "visible" && clear;
      const told = attributes(node);
      const name = node.tagName.toLowerCase();
      const kept = lines.length;
      const within = VOID.has(node.tagName) || node.tagName === "TEXTAREA" ? [] : children(node);
      for (const child of within) walk(child, depth + 1, { seen, clear });
      const inner = lines.splice(kept);
      const bare = !told && !ROLES[node.tagName];
      if (!seen || bare) {
        // What only holds others together gives its place to them.
        for (const line of inner) lines.push(line.slice(2));
      } else if (!inner.length) {
        if (told || isForeign(node)) lines.push(`${indent}<${name}${told}>${VOID.has(node.tagName) ? "" : `</${name}>`}`);
      } else if (inner.length === 1 && !inner[0].trimStart().startsWith("<")) {
        lines.push(`${indent}<${name}${told}>${inner[0].trim()}</${name}>`);
      } else {
        lines.push(`${indent}<${name}${told}>`, ...inner, `${indent}</${name}>`);
      }
    };
    const whole = { seen: true, clear: true };
    if (document.body) for (const child of children(document.body)) walk(child, 0, whole);
    return lines.join("\n");
  };

  const INLINE = new Set(["B", "I", "EM", "STRONG", "U", "S", "SMALL", "BIG", "SUB", "SUP", "CODE",
    "MARK", "FONT", "ABBR", "TT", "KBD", "TSPAN"]);
  const isInline = (element) => INLINE.has(element.tagName.toUpperCase());

  const describe = (element) => {
    const role = roleOf(element) || element.tagName.toLowerCase();
    const name = named(element, role) || squeeze(element.textContent ?? "").slice(0, 40);
    return `[${prefix}${numberOf(element)}] ${role}${name ? " " + JSON.stringify(name) : ""}`;
  };

  const find = (number) => {
    const element = elements.get(number)?.deref();
    if (element?.isConnected) return { element };
    const near = [...elements.keys()]
      .filter((known) => elements.get(known)?.deref()?.isConnected)
      .sort((a, b) => Math.abs(a - number) - Math.abs(b - number)).slice(0, 3)
      .map((known) => describe(elements.get(known).deref()));
    const gone = element ? "is no longer on the page" : "does not exist";
    return { error: `Element [${prefix}${number}] ${gone}${near.length ? "; near it: " + near.join(", ") : ""}.` };
  };

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

  // When something has changed for the last time; the observer is there before the page is. It
  // doesn't see into shadow roots by itself, nor into frames, which have one of their own.
  let changed = performance.timeOrigin;
  const observer = new MutationObserver(() => { changed = performance.timeOrigin + performance.now(); });
  const watch = (root) => observer.observe(root, {
    subtree: true, childList: true, attributes: true, characterData: true,
  });
  watch(document);
  const attach = Element.prototype.attachShadow;
  Element.prototype.attachShadow = function attachShadow(...rest) {
    const root = attach.apply(this, rest);
    watch(root);
    return root;
  };

  // What else of this page there is: the frames that it can look into.
  const inner = () => Array.from(window.frames, (frame) => {
    try { return frame.__agentgym; } catch { return undefined; }
  }).filter((script) => script !== undefined);
  const changedAt = () => Math.max(changed, ...inner().map((frame) => frame.changedAt()));

  // Whether something moves that will come to rest; on a busy machine its steps may be far apart.
  const isMoving = () => (window.jQuery?.timers?.length ?? 0) > 0 ||
    document.getAnimations().some((animation) => animation.playState === "running" &&
      animation.effect?.getComputedTiming().endTime !== Infinity) ||
    inner().some((frame) => frame.isMoving());

  // Until nothing has changed for a moment: what an action started has come to rest. What has
  // changed nothing at all gets another moment, of milliseconds as well.
  const settle = (first, quiet, most) => new Promise((resolve) => {
    const began = performance.now();
    const look = () => {
      const now = performance.now();
      const last = changedAt() - performance.timeOrigin;
      const still = isMoving() ? 0 : now - Math.max(last, began - quiet + first);
      if ((document.readyState !== "loading" && still >= quiet) || now - began >= most) resolve();
      else setTimeout(look, Math.max(Math.min(quiet - still, began + most - now), 1));
    };
    setTimeout(look, first);
  });

  // Browsers have one clipboard for all of their windows; a page that asks for it gets its own.
  let clipped = null;
  const ownClipboard = () => {
    if (clipped !== null) return;
    clipped = "";
    for (const type of ["copy", "cut"]) {
      original.call(window, type, (event) => {
        const field = document.activeElement;
        const inField = typeof field?.selectionStart === "number";
        clipped = event.defaultPrevented ? event.clipboardData.getData("text/plain")
          : inField ? field.value.slice(field.selectionStart, field.selectionEnd)
          : String(getSelection());
        if (type === "cut" && !event.defaultPrevented) document.execCommand("delete");
        event.preventDefault();
      });
    }
    original.call(window, "paste", (event) => {
      if (event.defaultPrevented) return;
      event.preventDefault();
      document.execCommand("insertText", false, clipped);
    });
  };

  const forget = () => { next = 1; numbers = new WeakMap(); elements = new Map();
    if (clipped !== null) clipped = "";
  };

  Object.defineProperty(window, "__agentgym", {
    value: Object.freeze({ observe, html, locate, focus, fill, select, checked, scroll, settle, forget,
      listens, numberOf, takesFiles, reachesFrame, ownClipboard, changedAt, isMoving, element: (number) => find(number).element ?? null }),
  });
})();
