// <instrument-movements>: for each trigger output the movement under way, how far it has come, and a flash when it is played.

import { live, t } from "./live.js";
import { define, make } from "./element.js";
import { look, outputs } from "./accents.js";

const FLASH_MS = 600;

define("movements", (element) => {
  element.classList.add("panel");
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", t("movements"));
  let rows = new Map();

  const build = () => {
    const triggers = outputs().filter((one) => one.kind === "trigger");
    if (triggers.map((one) => one.name).join() !== [...rows.keys()].join()) {
      rows = new Map(triggers.map((one) => [one.name, rowOf(one)]));
      element.replaceChildren(...[...rows.values()].map((one) => one.row));
    }
    element.hidden = !rows.size;
  };

  const rowOf = (output) => {
    const name = make("span", { class: "movement-name", role: "status" });
    const bar = make("div", { class: "recognised-bar" }, make("div"));
    return { row: make("div", { class: "movement" }, make("h2", {}, output.name), name, bar), name, bar, playedAt: -Infinity };
  };

  build();
  return [
    live.on("state", ({ name }) => (name === "status" || name === "takes") && build()),
    live.on("frame", ({ predictions, movements }) => {
      const now = performance.now();
      for (const [output, what, movement] of movements) {
        const one = rows.get(output);
        if (!one || what !== "hit") continue;
        one.playedAt = now;
        const { accent, mark } = look(output, movement);
        one.name.textContent = `${mark} ${movement}`;
        one.row.style.setProperty("--accent", accent);
        one.row.dataset.played = movement;
      }
      for (const [output, one] of rows) {
        const isFlashing = now - one.playedAt < FLASH_MS;
        one.row.classList.toggle("played", isFlashing);
        const [current, progress] = predictions[output] ?? ["none", 0];
        one.bar.firstChild.style.transform = `scaleX(${current === "none" ? 0 : progress})`;
        if (!isFlashing) {
          one.row.style.setProperty("--accent", current === "none" ? "var(--muted)" : look(output, current).accent);
          one.name.textContent = current === "none" ? t("movement_none") : current;
        }
      }
    }),
  ];
});
