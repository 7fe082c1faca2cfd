// <instrument-training>: how far the training under way is, and for each output whether it plays.

import { live, t } from "./live.js";
import { define, make } from "./element.js";
import { outputs } from "./accents.js";

const DONE_MS = 1500;

define("training", (element) => {
  element.classList.add("panel");
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", t("training"));
  const bar = make("div", { class: "progress", role: "progressbar", "aria-label": t("training"), "aria-valuemin": 0, "aria-valuemax": 100 }, make("div"));
  const said = make("p", { role: "status" });
  const cancel = make("button", { onclick: () => live.ask("/instrument/train/cancel").catch(() => {}) }, t("cancel"));
  const again = make("button", { title: t("train_about"), onclick: () => live.ask("/instrument/train").catch((error) => (said.textContent = error.message)) }, t("train"));
  element.append(make("h2", {}, t("training")), bar, said, cancel, again);
  let lastAt = -Infinity;

  const show = () => {
    const isTraining = live.state.status?.trainer?.training || performance.now() - lastAt < DONE_MS;
    cancel.hidden = !isTraining;
    again.hidden = isTraining;
    bar.hidden = !isTraining;
    const [output, step, steps, , validation] = live.state.training ?? [];
    if (isTraining && steps) {
      const share = step / steps;
      bar.firstChild.style.transform = `scaleX(${share})`;
      bar.setAttribute("aria-valuenow", Math.round(share * 100));
      said.textContent = t("training_now", { output, score: score(output, validation) });
      return;
    }
    const words = outputs().map((one) => {
      const found = live.state.coaching?.[one.name]?.by_take?.accuracy;
      if (!one.running) return t("output_silent", { output: one.name, reason: one.why_not ?? "" });
      return found === undefined ? t("output_plays", { output: one.name }) : t("output_scores", { output: one.name, percent: Math.round(found * 100) });
    });
    said.textContent = words.join(" · ");
  };
  const score = (output, validation) => {
    if (validation === undefined || validation < 0) return "";
    const isClass = outputs().find((one) => one.name === output)?.shown;
    return isClass ? t("training_right", { percent: Math.round(validation * 100) }) : t("training_off", { value: validation.toFixed(3) });
  };
  const clock = setInterval(show, 500);
  show();
  return [
    () => clearInterval(clock),
    live.on("state", ({ name }) => {
      if (name === "training") lastAt = performance.now();
      show();
    }),
  ];
});
