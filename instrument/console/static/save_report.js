// <instrument-save-report>: the last hour to keep, or to send with a question.

import { t } from "./live.js";
import { define, make } from "./element.js";

define("save-report", (element) => {
  element.classList.add("panel");
  const link = (kind) => make("a", { class: "file-key", href: `/health/report.${kind}`, download: true }, t(`report_${kind}`));
  element.append(
    make("h2", {}, t("report")),
    make("p", { class: "quiet" }, t("report_about")),
    make("div", { class: "file-row" }, link("txt"), link("json")),
  );
});
