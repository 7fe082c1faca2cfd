// A pad that sets two continuous values at once: drag in it, or move with the arrow keys. A ring shows what is said now.

import { t } from "./live.js";
import { make } from "./element.js";
import { shortNumber, valueText } from "./controls.js";

const STEP = 0.02;
const LARGE_STEP = 0.1;

// `targets` as value_cards.js has them; gives {element, axes(), moved(predictions), show()}.
export function xyPad(outputs, targets) {
  const axes = outputs.slice(0, 2);
  const crossX = make("div", { class: "xy-line xy-line-x" });
  const crossY = make("div", { class: "xy-line xy-line-y" });
  const target = make("div", { class: "xy-target" });
  const said = make("div", { class: "xy-said", hidden: true });
  const field = make("div", { class: "xy-field", tabindex: 0, role: "application", "aria-roledescription": t("xy_kind") }, crossX, crossY, said, target);
  const ends = [0, 1].map((axis) => [0, 1].map((end) => make("span", { class: `xy-end xy-${"xy"[axis]}-${end}` })));
  const names = [0, 1].map((axis) => {
    if (outputs.length === 2) return make("b", { class: `xy-name xy-name-${"xy"[axis]}` });
    const choices = outputs.map((one) => make("option", { value: one.name }, one.name));
    const select = make("select", { class: `xy-name xy-name-${"xy"[axis]}`, "aria-label": t(`xy_${"xy"[axis]}`) }, ...choices);
    select.onchange = () => choose(axis, outputs.find((one) => one.name === select.value));
    return select;
  });
  const targetText = make("p", { class: "xy-text" });
  const saidText = make("p", { class: "xy-text", hidden: true });
  const texts = make("div", { class: "xy-texts" }, targetText, saidText);
  const pad = make("div", { class: "xy-pad" }, names[1], ...ends[1], field, ...ends[0], names[0]);

  const span = (output) => output.high - output.low;
  const share = (output, value) => Math.min(Math.max((value - output.low) / span(output), 0), 1);
  const worded = (values) => axes.map((one, axis) => `${one.name} ${valueText(one, values[axis])}`).join(", ");
  const choose = (axis, output) => {
    if (output === axes[1 - axis]) axes[1 - axis] = axes[axis];
    axes[axis] = output;
    show();
  };
  const show = () => {
    const values = axes.map((one) => targets.get(one.name));
    const [x, y] = axes.map((one, axis) => share(one, values[axis]) * 100);
    target.style.left = crossY.style.left = `${x}%`;
    target.style.bottom = crossX.style.bottom = `${y}%`;
    axes.forEach((one, axis) => {
      if (names[axis].tagName === "B") names[axis].textContent = one.name;
      else names[axis].value = one.name;
      [one.low, one.high].forEach((end, index) => (ends[axis][index].textContent = shortNumber(end)));
    });
    targetText.replaceChildren(make("i", { class: "xy-target", "aria-hidden": "true" }), t("xy_target", { values: worded(values) }));
    field.setAttribute("aria-label", t("xy_about", { values: worded(values) }));
  };
  const set = (axis, to) => targets.set(axes[axis].name, axes[axis].low + Math.min(Math.max(to, 0), 1) * span(axes[axis]));
  const follow = ({ clientX, clientY }) => {
    const { left, bottom, width, height } = field.getBoundingClientRect();
    set(0, (clientX - left) / width);
    set(1, (bottom - clientY) / height);
  };
  field.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    field.focus();
    field.setPointerCapture(event.pointerId);
    follow(event);
  });
  field.addEventListener("pointermove", (event) => field.hasPointerCapture(event.pointerId) && follow(event));
  field.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowDown: [1, -1], ArrowUp: [1, 1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const [axis, by] = way;
    set(axis, share(axes[axis], targets.get(axes[axis].name)) + by * (event.shiftKey ? LARGE_STEP : STEP));
  });
  show();
  return {
    element: make("div", { class: "xy" }, pad, texts),
    texts,
    axes: () => axes,
    show,
    moved(predictions) {
      const values = axes.map((one) => predictions[one.name]?.[0]);
      const isThere = values.every((value) => typeof value === "number");
      said.hidden = saidText.hidden = !isThere;
      if (!isThere) return;
      said.style.left = `${share(axes[0], values[0]) * 100}%`;
      said.style.bottom = `${share(axes[1], values[1]) * 100}%`;
      const text = t("xy_said", { values: worded(values) });
      if (saidText.dataset.text === text) return;
      saidText.dataset.text = text;
      saidText.replaceChildren(make("i", { class: "xy-said", "aria-hidden": "true" }), text);
    },
  };
}
