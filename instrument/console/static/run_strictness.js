// <instrument-run-strictness>: false triggers a minute, and setting how strict to be by this recording.

import { live, t } from "./live.js";
import { define, make } from "./element.js";
import { run } from "./run_through.js";

define("run-strictness", (element) => {
  element.classList.add("panel");
  const figure = make("strong");
  const figures = make("p", { class: "strict-figure" }, figure, make("span", {}, t("strict_rate")));
  const more = make("p", { class: "muted" });
  const thresholds = make("p", { class: "muted" });
  const use = make("button", { onclick: () => change() });
  const said = make("p", { role: "status" });
  element.append(make("h2", {}, t("strict")), figures, more, thresholds, use, said);
  let isWorking = false;

  const least = () => Object.fromEntries((live.state.status?.outputs ?? []).map((one) => [one.name, one.least_familiarity]));
  const percent = (share) => (share == null ? "–" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`);
  const change = async () => {
    const isUsed = run.take.kind === "rehearsal";
    const before = least();
    isWorking = true;
    said.textContent = t("runs_learning");
    refresh();
    try {
      const [text] = await live.ask("/instrument/rehearse/use", run.take.id, isUsed ? 0 : 1);
      const found = Object.entries(JSON.parse(text));
      said.textContent = found
        .map(([output, one]) => t("strict_set", { output, before: percent(before[output]), after: percent(one.least), text: one.text }))
        .join(" ");
      if (!found.length && !isUsed) said.textContent = t("strict_same");
    } catch (error) {
      said.textContent = error.message;
    }
    isWorking = false;
    refresh();
  };
  const total = (which) => {
    const counts = (run.along?.outputs ?? []).map((one) => one[which]?.triggers).filter((one) => one !== undefined);
    return counts.length ? counts.reduce((sum, one) => sum + one, 0) : null;
  };
  const rate = (count) => (count / Math.max(run.take.seconds / 60, 1 / 600)).toFixed(1);
  const refresh = () => {
    element.hidden = !run.take;
    if (!run.take) return;
    const isRehearsal = run.take.kind === "rehearsal";
    const [now, before] = [total("now"), total("before")];
    figures.hidden = !isRehearsal || now === null;
    figure.textContent = now === null ? "" : rate(now);
    more.textContent = isRehearsal ? (before === null ? "" : t("strict_before", { rate: rate(before) })) : now === null ? "" : t("strict_count", { count: now });
    const strict = Object.entries(least()).filter(([, value]) => value != null);
    thresholds.textContent = strict.map(([output, value]) => t("strict_threshold", { output, value: percent(value) })).join(". ");
    use.textContent = t(isRehearsal ? "strict_leave" : "strict_use");
    use.title = t(isRehearsal ? "strict_leave_about" : "strict_use_about");
    use.disabled = isWorking;
  };
  refresh();
  return [
    run.on("take", refresh),
    run.on("along", refresh),
    live.on("state", ({ name }) => name === "status" && refresh()),
  ];
});
