// <instrument-incidents>: what went wrong, the newest first.

import { t } from "./live.js";
import { define, make } from "./element.js";
import { onHour } from "./hour.js";

const MOST_SHOWN = 60;

define("incidents", (element) => {
  element.classList.add("panel");
  const list = make("ol", { class: "incident-list" });
  const none = make("p", { class: "quiet" }, t("incidents_none"));
  element.append(make("h2", {}, t("incidents")), none, list);
  return [
    onHour(({ incidents }) => {
      none.hidden = incidents.length > 0;
      const newest = incidents.slice(-MOST_SHOWN).reverse();
      list.replaceChildren(
        ...newest.map(([atS, kind, what]) =>
          make("li", {},
            make("time", {}, new Date(atS * 1000).toLocaleTimeString([], { hour12: false })),
            make("span", {}, t(`incident_${kind}`, { what })),
          ),
        ),
      );
    }),
  ];
});
