// <instrument-state-line>: one line that says whether all is well, and what is not.

import { live, t } from "./live.js";
import { define, make } from "./element.js";

define("state-line", (element) => {
  const text = make("span");
  element.append(make("span", { class: "dot", "aria-hidden": "true" }), text);
  element.setAttribute("role", "status");

  const show = () => {
    const { engine, status, source } = live.state;
    let state = "good";
    let words = t("state_playing");
    if (!live.isThere) [state, words] = ["bad", t("state_page_gone")];
    else if (engine === "gone") [state, words] = ["bad", t("state_gone")];
    else if (engine !== "here" || !status) [state, words] = ["waiting", t("state_starting")];
    else if ((source?.[0] ?? status.source.state) !== "playing") {
      const [name, detail] = source ?? [status.source.state, status.source.detail];
      [state, words] = ["bad", t("state_source", { state: name, detail })];
    } else if (!status.running) [state, words] = ["waiting", t("state_silent")];
    element.dataset.state = state;
    element.title = words;
    if (text.textContent !== words) text.textContent = words;
    document.body.dataset.engine = live.isThere ? engine : "gone";
  };
  show();
  return [live.on("state", show), live.on("link", show)];
});
