// What the other side calls, under the one name that the page could see.

// Start afresh: the next element is the first.
const forget = () => {
  next = 1;
  numbers = new WeakMap();
  elements = new Map();
  if (clipped !== null) clipped = "";
};

Object.defineProperty(window, "__agentgym", {
  value: Object.freeze({
    observe, html, forget,
    locate, reachesFrame, focus, fill, select, checked, scroll, takesFiles,
    settle, changedAt, isMoving, ownClipboard,
    listens, numberOf, element: (number) => find(number).element ?? null,
  }),
});
