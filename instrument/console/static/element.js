// Makes a custom element out of a function: `define("meters", (element) => …)` is <instrument-meters>.
//
// The function is called when the element comes into the page. It may return a list of functions (such as what
// live.on returns) that are called when it leaves.

export function define(name, begin) {
  customElements.define(
    `instrument-${name}`,
    class extends HTMLElement {
      connectedCallback() {
        this.replaceChildren();
        this.endings = begin(this) ?? [];
      }

      disconnectedCallback() {
        for (const end of this.endings ?? []) end();
      }
    },
  );
}

// An HTML element with attributes and children: make("button", {class: "key", onclick: f}, "Undo").
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// Calls `key()` when that key is pressed anywhere but in a field one types into; gives a function that ends it.
export function onKey(key, action) {
  const listener = (event) => {
    if (event.key.toLowerCase() !== key || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (isTyping(event.target)) return;
    event.preventDefault();
    action(event);
  };
  window.addEventListener("keydown", listener);
  return () => window.removeEventListener("keydown", listener);
}

export function isTyping(target) {
  return target.matches?.("input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable]") ?? false;
}

// Calls `draw()` at most once for each picture of the screen, however often it is asked for.
export function drawer(draw) {
  let isDue = false;
  return () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      draw();
    });
  };
}

// A canvas as sharp as the screen; fit() gives its context and its size in CSS pixels.
export function sharpCanvas(attributes = {}) {
  const canvas = make("canvas", attributes);
  const context = canvas.getContext("2d");
  const fit = () => {
    const scale = Math.min(window.devicePixelRatio || 1, 2);
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    context.setTransform(scale, 0, 0, scale, 0, 0);
    return { context, width, height };
  };
  return { canvas, fit };
}
