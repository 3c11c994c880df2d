// Elements: which they are, what they are called, and the numbers that they get.
// The files of this folder share a scope: `browser.py` puts them together, in the order that it names.
//
// What listens for a pointer is remembered: that is how what can be clicked is told from what can't,
// whatever library a page is made with.

const POINTER = new Set(["click", "mousedown", "mouseup", "pointerdown", "pointerup", "dblclick",
  "touchstart", "mouseover", "mouseenter", "dragstart"]);
const listening = new WeakSet();
const addListener = EventTarget.prototype.addEventListener;
EventTarget.prototype.addEventListener = function addEventListener(type, ...rest) {
  if (POINTER.has(type) && this instanceof Element) listening.add(this);
  return addListener.call(this, type, ...rest);
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

const isForeign = (element) => {
  if (element.tagName !== "IFRAME") return false;
  try { return !element.contentDocument; } catch { return true; }
};

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
