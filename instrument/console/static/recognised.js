// <instrument-recognised [output]>: what is recognised, as large as there is room for, and how sure the model is.

import { live, t } from "./live.js";
import { define, make } from "./element.js";
import { look, outputs } from "./accents.js";

define("recognised", (element) => {
  const mark = make("span", { class: "recognised-mark", "aria-hidden": "true" });
  const word = make("span", { class: "recognised-word", role: "status" });
  const bar = make("div", { class: "recognised-bar" }, make("div"));
  const sure = make("p", { class: "recognised-sure" });
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", t("recognised"));
  element.append(make("p", { class: "recognised-said" }, mark, word), bar, sure);
  let shown = "";

  const show = (output, name, confidence) => {
    const isNone = name === "none";
    const { accent, mark: sign } = isNone ? { accent: "var(--muted)", mark: "○" } : look(output, name);
    if (shown !== name) {
      shown = name;
      word.textContent = name;
      mark.textContent = sign;
      element.style.setProperty("--accent", accent);
      element.dataset.said = name;
      word.style.setProperty("--letters", Math.max(4, name.length));
    }
    bar.firstChild.style.transform = `scaleX(${isNone ? 0 : confidence})`;
    sure.textContent = isNone ? t("recognised_none") : t("confidence", { percent: Math.round(confidence * 100) });
  };
  const showNothing = () => {
    const wanted = outputs().filter((one) => one.kind === "class");
    const isTaught = wanted.some((one) => one.running);
    shown = "";
    element.dataset.said = "";
    mark.textContent = "";
    word.textContent = t(isTaught || !wanted.length ? "recognised_nothing" : "recognised_untrained");
    word.style.setProperty("--letters", word.textContent.length < 4 ? 4 : word.textContent.length);
    element.style.setProperty("--accent", "var(--muted)");
    bar.firstChild.style.transform = "scaleX(0)";
    sure.textContent = isTaught || !wanted.length ? "" : t("recognised_teach");
  };
  showNothing();
  return [
    live.on("frame", ({ predictions }) => {
      const wanted = element.getAttribute("output");
      const classes = outputs().filter((one) => one.kind === "class" && (!wanted || one.name === wanted));
      const output = classes.find((one) => predictions[one.name])?.name;
      const found = output && [output, predictions[output]];
      if (found) show(found[0], found[1][0], found[1][1]);
      else if (shown || !element.dataset.said) showNothing();
    }),
    live.on("state", ({ name, value }) => {
      if (name === "engine" && value !== "here") showNothing();
      if (name === "takes" || name === "status") shown = ""; // accents may have changed
      if (name === "status") element.toggleAttribute("data-idle", outputs().every((one) => one.kind !== "class"));
    }),
  ];
});
