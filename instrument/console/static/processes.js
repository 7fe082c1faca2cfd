// <instrument-processes>: memory and restarts of engine, trainer and console.

import { t } from "./live.js";
import { define, make } from "./element.js";
import { onHour } from "./hour.js";

const PROCESSES = [["engine", "memory_mb"], ["trainer", "trainer_mb"], ["console", "console_mb"]];

define("processes", (element) => {
  element.classList.add("panel");
  const body = make("tbody");
  const heads = ["process", "process_memory", "process_grown", "process_restarts"].map((one) => make("th", { scope: "col" }, t(one)));
  element.append(make("h2", {}, t("processes")), make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body));
  return [
    onHour((hour) => {
      body.replaceChildren(
        ...PROCESSES.map(([name, column]) => {
          const values = hour.column(column).map(([, value]) => value).filter((value) => value !== null);
          const restarts = hour.restarts[name] ?? 0;
          const grown = values.length ? Math.round(values.at(-1) - values[0]) : null;
          const count = make("td", { class: restarts ? "bad" : "", "data-restarts": restarts, "data-process": name }, String(restarts));
          return make("tr", {},
            make("th", { scope: "row" }, t(`process_${name}`)),
            make("td", {}, values.length ? t("process_mb", { mb: Math.round(values.at(-1)) }) : "–"),
            make("td", {}, grown === null ? "–" : `${grown > 0 ? "+" : ""}${grown}`),
            count,
          );
        }),
      );
    }),
  ];
});
