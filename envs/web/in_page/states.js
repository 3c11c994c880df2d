// What is said of an element besides its name: where it lies, its state, its colour.

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
