// <instrument-wizard-steps>: shows one of the steps beside it, with buttons to the next and back.

import { t } from "./live.js";
import { define, make } from "./element.js";

define("wizard-steps", (element) => {
  const steps = [...element.parentElement.querySelectorAll(":scope > .wizard-step")];
  const back = make("button", { onclick: () => go(at - 1) }, t("wizard_back"));
  const next = make("button", { class: "wizard-next", onclick: () => go(at + 1) }, t("wizard_next"));
  const where = make("p", { role: "status" });
  element.append(back, where, next);
  let at = 0;

  const go = (to, isBegin = false) => {
    at = Math.min(Math.max(to, 0), steps.length - 1);
    steps.forEach((step, index) => (step.hidden = index !== at));
    back.disabled = at === 0;
    next.disabled = at === steps.length - 1;
    where.textContent = t("wizard_where", { step: at + 1, steps: steps.length });
    if (!isBegin) steps[at].querySelector(".wizard-title")?.focus(); // what a screen reader reads on from
  };
  go(0, true);
});
