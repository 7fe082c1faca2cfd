// What was taken for what, as a table: a row for each class that was shown, a column for each that was said.

import { t } from "./live.js";
import { make } from "./element.js";
import { look } from "./accents.js";

// `byTake` as /instrument/coaching has it.
export function confusionTable(output, { classes, confusion, recall, of }) {
  const sign = (name) => {
    const { accent, mark } = look(output, name);
    return [make("span", { style: `color: ${accent}`, "aria-hidden": "true" }, mark), ` ${name}`];
  };
  const head = make(
    "tr",
    {},
    make("td", {}),
    ...classes.map((name) => make("th", { scope: "col", title: name }, ...sign(name))),
    make("th", { scope: "col", class: "recall" }, t("confusion_recall")),
  );
  const rows = confusion.map((counts, row) => {
    const total = counts.reduce((sum, one) => sum + one, 0) || 1;
    const cells = counts.map((count, column) => {
      const share = count / total;
      const kind = row === column ? "right" : count ? "wrong" : "never";
      return make("td", { class: kind, style: kind === "wrong" ? `--share: ${Math.max(15, Math.round(share * 70))}%` : false }, String(count));
    });
    const name = classes[row];
    return make(
      "tr",
      {},
      make("th", { scope: "row", title: name }, ...sign(name)),
      ...cells,
      make("td", { class: "recall" }, `${Math.floor(recall[name] * 100)} %`),
    );
  });
  const table = make("table", { class: "confusion" }, make("caption", {}, t(`confusion_${of}`)), make("thead", {}, head), make("tbody", {}, ...rows));
  return make("div", { class: "confusion-box", tabindex: 0, role: "region", "aria-label": t("confusion") }, table);
}
