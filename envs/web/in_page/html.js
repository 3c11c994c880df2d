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
