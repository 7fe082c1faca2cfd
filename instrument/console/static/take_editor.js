// One take, wide, with a handle at each end to trim it: dragged, or moved with the arrow keys.

import { t } from "./live.js";
import { drawer, make, sharpCanvas } from "./element.js";
import { drawStrip, stripOf } from "./strip.js";

const KEY_WAIT_MS = 500;

// `trim(take, first, last)` is called when a handle is let go, or its keys have come to rest.
export function takeEditor(trim) {
  const { canvas, fit } = sharpCanvas({ "aria-hidden": "true" });
  const handles = ["first", "last"].map((side) =>
    make("div", { class: `trim-handle trim-${side}`, role: "slider", tabindex: "0", "aria-label": t(`trim_${side}`), title: t("trim_about") }),
  );
  const shades = [make("div", { class: "trim-shade" }), make("div", { class: "trim-shade" })];
  const head = make("div", { class: "play-head", hidden: true });
  const element = make("div", { class: "take-editor", hidden: true }, canvas, ...shades, head, ...handles);
  let take = null;
  let strip = null;
  let ends = [0, 0];
  let accent = "";
  let isHeld = false;
  let waiting = null;

  const draw = drawer(() => {
    if (!strip) return;
    drawStrip(fit(), strip, accent);
    const [left, right] = [(ends[0] / strip.count) * 100, ((ends[1] + 1) / strip.count) * 100];
    handles[0].style.left = `${left}%`;
    handles[1].style.left = `${right}%`;
    shades[0].style.cssText = `left: 0; width: ${left}%`;
    shades[1].style.cssText = `left: ${right}%; right: 0`;
    handles.forEach((handle, side) => {
      handle.setAttribute("aria-valuemin", side ? ends[0] : 0);
      handle.setAttribute("aria-valuemax", side ? strip.count - 1 : ends[1]);
      handle.setAttribute("aria-valuenow", ends[side]);
    });
  });
  const move = (side, frame) => {
    const inside = side ? [ends[0], strip.count - 1] : [0, ends[1]];
    ends[side] = Math.min(Math.max(Math.round(frame), inside[0]), inside[1]);
    draw();
  };
  const keep = () => {
    clearTimeout(waiting);
    waiting = null;
    const [first, last] = take.trim ?? [0, strip.count - 1];
    if (ends[0] !== first || ends[1] !== last) trim(take.id, ...ends);
  };
  handles.forEach((handle, side) => {
    handle.addEventListener("pointerdown", (event) => {
      if (event.button || !strip) return;
      event.preventDefault();
      handle.focus();
      handle.setPointerCapture(event.pointerId);
      isHeld = true;
    });
    handle.addEventListener("pointermove", ({ clientX }) => {
      if (!isHeld || !handle.matches(":focus")) return;
      const { left, width } = canvas.getBoundingClientRect();
      move(side, ((clientX - left) / width) * strip.count - side);
    });
    const release = () => {
      if (!isHeld) return;
      isHeld = false;
      keep();
    };
    handle.addEventListener("pointerup", release);
    handle.addEventListener("pointercancel", release);
    handle.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageDown: -10, PageUp: 10, Home: -1e9, End: 1e9 }[event.key];
      if (step === undefined || !strip) return;
      event.preventDefault();
      move(side, ends[side] + step);
      clearTimeout(waiting);
      waiting = setTimeout(keep, KEY_WAIT_MS);
    });
  });
  const resized = new ResizeObserver(draw);
  resized.observe(canvas);

  return {
    element,
    // Shows that take, or nothing.
    async show(next, colour) {
      if (take && next?.id !== take.id && waiting) keep();
      const isSame = next && take && next.id === take.id && next.created_at === take.created_at;
      take = next;
      accent = colour;
      element.hidden = !take;
      if (!take) return;
      element.style.setProperty("--accent", colour);
      element.setAttribute("aria-label", t("take_number", { take: take.id }));
      if (!isSame) strip = null;
      const found = await stripOf(next, 14);
      if (take !== next || !found) return;
      strip = found;
      if (!isHeld && !waiting) ends = [...(take.trim ?? [0, strip.count - 1])];
      draw();
    },
    // Where in it is played now; null: nowhere.
    moved(frame) {
      head.hidden = frame === null || !strip;
      if (!head.hidden) head.style.left = `${((frame + 0.5) / strip.count) * 100}%`;
    },
    end() {
      clearTimeout(waiting);
      resized.disconnect();
    },
  };
}
