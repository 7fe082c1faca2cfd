// What continuous outputs are taught: a slider each, a pad for two at once, and values at random.

import { live, t } from "./live.js";
import { make } from "./element.js";
import { valueText } from "./controls.js";
import { xyPad } from "./xy_pad.js";

// The values to be taught, and whether each is taught along with every class. They outlive the cards that show them.
export function valueTargets() {
  const values = {};
  const alongs = {};
  const listeners = new Set();
  return {
    alongs,
    get: (name) => values[name],
    set(name, value) {
      values[name] = value;
      for (const listener of listeners) listener(name);
    },
    on: (listener) => listeners.add(listener),
    forget: () => listeners.clear(),
    along: () => Object.entries(alongs).flatMap(([name, is]) => (is ? [name, values[name]] : [])),
  };
}

// Sections for these outputs. `cardOf(name, look, pairs, options)` makes a card to record with; `say` says how it goes.
// Gives {sections, moved(predictions)}.
export function valueCards(outputs, { targets, cardOf, say }) {
  for (const one of outputs) if (targets.get(one.name) === undefined) targets.set(one.name, one.high);
  const randomise = async () => {
    try {
      const [values] = await live.ask("/instrument/randomise", ...outputs.map((one) => one.name));
      for (const pair of values.split(", ")) {
        const at = pair.lastIndexOf(" ");
        targets.set(pair.slice(0, at), Number(pair.slice(at + 1)));
      }
      say(t("randomised", { values: outputs.map((one) => `${one.name} ${valueText(one, targets.get(one.name))}`).join(", ") }));
    } catch (error) {
      say(error.message, true);
    }
  };
  const random = make("button", { class: "randomise", title: t("randomise_about"), onclick: randomise }, t("randomise"));
  const sections = [];
  const moving = [];

  if (outputs.length > 1) {
    const pad = xyPad(outputs, targets);
    const sign = { accent: "var(--text)", mark: outputs.slice(0, 2).map((one) => one.mark).join("") };
    const pairs = () => pad.axes().flatMap((one) => [one.name, targets.get(one.name)]);
    pad.texts.append(random, cardOf(t("xy_record"), sign, pairs, { isContinuous: true }));
    targets.on(pad.show);
    moving.push(pad.moved);
    sections.push(make("section", { "aria-label": t("xy_kind") }, pad.element));
  }
  for (const output of outputs) {
    const { name, low, high, accent, mark } = output;
    const shown = make("output");
    const slider = make("input", {
      type: "range", min: low, max: high, step: (high - low) / 100, "aria-label": t("slider_about", { output: name }), style: `--accent: ${accent}`,
    });
    slider.addEventListener("input", () => targets.set(name, Number(slider.value)));
    const said = make("span", { class: "slider-said", "aria-hidden": "true", hidden: true });
    const show = (changed) => {
      if (changed !== name) return;
      slider.value = targets.get(name);
      shown.textContent = valueText(output, targets.get(name));
    };
    targets.on(show);
    show(name);
    moving.push((predictions) => {
      const value = predictions[name]?.[0];
      said.hidden = typeof value !== "number";
      if (!said.hidden) said.style.setProperty("--at", Math.min(Math.max((value - low) / (high - low), 0), 1));
    });
    const card = cardOf(t("slider_record"), output, () => [name, targets.get(name)], { isContinuous: true, output: name });
    const box = make("input", { type: "checkbox", onchange: () => (targets.alongs[name] = box.checked) });
    box.checked = targets.alongs[name] ?? false;
    const top = make("div", { class: "value-top" }, make("h2", {}, make("i", { style: `color: ${accent}`, "aria-hidden": "true" }, mark), ` ${name}`));
    top.append(make("label", { class: "along" }, box, t("slider_along")), ...(outputs.length === 1 ? [random] : []));
    sections.push(
      make(
        "section",
        { "aria-label": name },
        top,
        make("div", { class: "slider-card" }, make("div", { class: "slider" }, make("div", { class: "slider-track" }, slider, said), shown), card),
      ),
    );
  }
  return { sections, moved: (predictions) => moving.forEach((one) => one(predictions)) };
}
