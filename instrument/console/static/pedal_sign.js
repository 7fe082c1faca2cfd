// <instrument-pedal-sign>: says for a moment, on every page, what a pedal did, or why it could not.

import { live, t } from "./live.js";
import { define } from "./element.js";

const SHOWN_MS = 1500;
const READ_MS = 5000;

define("pedal-sign", (element) => {
  element.setAttribute("role", "status");
  element.hidden = true;
  let hiding;
  return [
    live.on("state", ({ name, value }) => {
      if (name !== "pedal" || !value[0]) return;
      const [, what, words] = value;
      const isFailed = what === "fail";
      if (what === "release" && !words) return;
      element.textContent = isFailed ? t("pedal_failed", { reason: words }) : words;
      element.classList.toggle("bad", isFailed);
      element.hidden = false;
      clearTimeout(hiding);
      hiding = setTimeout(() => (element.hidden = true), isFailed ? READ_MS : SHOWN_MS);
    }),
    () => clearTimeout(hiding),
  ];
});
