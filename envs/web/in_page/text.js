// The page as a list of what is there.

const INLINE = new Set(["B", "I", "EM", "STRONG", "U", "S", "SMALL", "BIG", "SUB", "SUP", "CODE",
  "MARK", "FONT", "ABBR", "TT", "KBD", "TSPAN"]);
const isInline = (element) => INLINE.has(element.tagName.toUpperCase());

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
