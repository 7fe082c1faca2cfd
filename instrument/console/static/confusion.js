// What was taken for what, as a table: a row for each class that was shown, a column for each that was said. The row of a
// class of which nothing was kept apart has no figures.

import { t } from "./live.js";
import { make } from "./element.js";
import { look } from "./accents.js";
import { percentOf } from "./controls.js";

const MOST_NAMED = 4;

// `byTake` as /instrument/coaching has it. With many classes the columns have numbers, which stand before the rows' names.
export function confusionTable(output, { classes, confusion, recall, of }) {
  const isDense = classes.length > MOST_NAMED;
  const sign = (name) => {
    const { accent, mark } = look(output, name);
    return [make("span", { style: `color: ${accent}`, "aria-hidden": "true" }, mark), ` ${name}`];
  };
  const above = (name, index) =>
    isDense ? [make("span", { "aria-hidden": "true" }, String(index + 1)), make("span", { class: "unseen" }, name)] : sign(name);
  const head = make(
    "tr",
    {},
    make("td", {}),
    make("th", { scope: "col", class: "recall" }, t("confusion_recall")),
    ...classes.map((name, index) => make("th", { scope: "col", title: name }, ...above(name, index))),
  );
  const rows = confusion.map((counts, row) => {
    const name = classes[row];
    const isTold = recall[name] !== null;
    const total = counts.reduce((sum, one) => sum + one, 0) || 1;
    const cells = counts.map((count, column) => {
      if (!isTold) return make("td", { class: "never" });
      const kind = row === column ? "right" : count ? "wrong" : "never";
      const share = Math.max(15, Math.round((count / total) * 70));
      return make("td", { class: kind, style: kind === "wrong" ? `--share: ${share}%` : false }, String(count));
    });
    return make(
      "tr",
      {},
      make("th", { scope: "row", title: name }, ...(isDense ? [`${row + 1} `] : []), ...sign(name)),
      make("td", { class: "recall", title: isTold ? false : t("confusion_untold") }, isTold ? `${percentOf(recall[name])} %` : "–"),
      ...cells,
    );
  });
  const table = make(
    "table",
    { class: isDense ? "confusion dense" : "confusion" },
    make("caption", {}, t(`confusion_${of}`)),
    make("thead", {}, head),
    make("tbody", {}, ...rows),
  );
  return make("div", { class: "confusion-box", tabindex: 0, role: "region", "aria-label": t("confusion") }, table);
}
