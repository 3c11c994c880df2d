// Browsers have one clipboard for all of their windows; a page that asks for it gets its own.

let clipped = null;
const ownClipboard = () => {
  if (clipped !== null) return;
  clipped = "";
  for (const type of ["copy", "cut"]) {
    addListener.call(window, type, (event) => {
      const field = document.activeElement;
      const inField = typeof field?.selectionStart === "number";
      clipped = event.defaultPrevented ? event.clipboardData.getData("text/plain")
        : inField ? field.value.slice(field.selectionStart, field.selectionEnd)
        : String(getSelection());
      if (type === "cut" && !event.defaultPrevented) document.execCommand("delete");
      event.preventDefault();
    });
  }
  addListener.call(window, "paste", (event) => {
    if (event.defaultPrevented) return;
    event.preventDefault();
    document.execCommand("insertText", false, clipped);
  });
};
