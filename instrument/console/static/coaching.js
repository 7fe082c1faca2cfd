// <instrument-coaching>: what to record next, in sentences.

import { live, t } from "./live.js";
import { define, make } from "./element.js";

define("coaching", (element) => {
  element.classList.add("panel");
  const list = make("ul", { class: "advice", role: "status" });
  element.append(make("h2", {}, t("coaching")), list);
  const show = () => {
    const found = Object.entries(live.state.coaching ?? {});
    const sentences = found.flatMap(([name, one]) => (one.advice ?? []).map((advice) => [name, advice.text]));
    const made = sentences.map(([name, text]) => make("li", {}, make("b", {}, name), ` ${text}`));
    const text = made.map((one) => one.textContent).join();
    if (text === list.dataset.text) return;
    list.dataset.text = text;
    list.replaceChildren(...(made.length ? made : [make("li", { class: "muted" }, t("coaching_none"))]));
  };
  show();
  return [live.on("state", ({ name }) => name === "coaching" && show())];
});
