// When the page has come to rest.

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
const framesWithin = () => Array.from(window.frames, (frame) => {
  try { return frame.__agentgym; } catch { return undefined; }
}).filter((script) => script !== undefined);
const changedAt = () => Math.max(changed, ...framesWithin().map((frame) => frame.changedAt()));

// Whether something moves that will come to rest; on a busy machine its steps may be far apart.
const isMoving = () => (window.jQuery?.timers?.length ?? 0) > 0 ||
  document.getAnimations().some((animation) => animation.playState === "running" &&
    animation.effect?.getComputedTiming().endTime !== Infinity) ||
  framesWithin().some((frame) => frame.isMoving());

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
