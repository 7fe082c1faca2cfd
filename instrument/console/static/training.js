// <instrument-training>: learning as it happens, and what came of it: how the loss fell, and how well what was not
// learned from is known. One output at a time; the last figures stay until there are new ones.

import { live, t } from "./live.js";
import { define, make } from "./element.js";
import { outputs } from "./accents.js";
import { confusionTable } from "./confusion.js";
import { percentOf } from "./controls.js";
import { lossCurve } from "./loss_curve.js";

const DONE_MS = 1500;
const short = (value) => String(Number(value.toPrecision(2)));

define("training", (element) => {
  element.classList.add("panel");
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", t("training"));
  const bar = make("div", { class: "progress", role: "progressbar", "aria-label": t("training"), "aria-valuemin": 0, "aria-valuemax": 100 }, make("div"));
  const said = make("p", { class: "training-said muted", role: "status" });
  const cancel = make("button", { onclick: () => live.ask("/instrument/train/cancel").catch(() => {}) }, t("cancel"));
  let trouble = "";
  const learn = () => {
    trouble = "";
    live.ask("/instrument/train").catch((error) => {
      trouble = error.message;
      show();
    });
  };
  const again = make("button", { title: t("train_about"), onclick: learn }, t("train"));
  const tabs = make("div", { class: "training-tabs", role: "group", "aria-label": t("training_outputs") });
  const scores = make("div", { class: "training-scores" });
  const curve = make("div", { class: "training-curve" });
  const matrix = make("div", { class: "training-matrix" });
  element.append(make("div", { class: "training-top" }, make("h2", {}, t("training")), tabs, cancel, again), bar, scores, curve, matrix, said);

  let lastAt = -Infinity;
  let chosen = null;
  let project = null;
  const reports = {}; // the last of each output
  const drawn = {}; // what each part shows, so that only what differs is made anew

  const draw = (part, name, what, make_) => {
    const description = JSON.stringify(what ?? null);
    if (drawn[name] === description) return;
    drawn[name] = description;
    part.hidden = !what;
    part.replaceChildren(...(what ? [make_()].flat() : []));
  };

  const show = () => {
    const { status, coaching = {}, training, curves = {} } = live.state;
    if (status?.project !== project) {
      project = status?.project;
      for (const name of Object.keys(reports)) delete reports[name];
    }
    Object.assign(reports, coaching);
    const all = outputs();
    if (!all.some((one) => one.name === chosen)) chosen = all[0]?.name ?? null;
    const output = all.find((one) => one.name === chosen);
    const report = reports[chosen];
    const trainer = status?.trainer;
    const isTraining = Boolean(trainer?.training) || performance.now() - lastAt < DONE_MS;
    cancel.hidden = !isTraining;
    bar.style.visibility = isTraining ? "visible" : "hidden"; // what is below stays where it is
    again.hidden = isTraining;
    const [now, step, steps] = training ?? [];
    if (isTraining && steps) {
      bar.firstChild.style.transform = `scaleX(${step / steps})`;
      bar.setAttribute("aria-valuenow", Math.round((step / steps) * 100));
    }
    const silent = output && !output.running ? t("output_silent", { output: output.name, reason: output.why_not ?? "" }) : "";
    const words = isTraining && steps ? t("training_now", { output: now }) : trouble || silent || (trainer?.studying ? t("training_studying") : report?.not_scored);
    if (said.textContent !== (words ?? "")) said.textContent = words ?? "";
    said.hidden = !words;
    draw(tabs, "tabs", all.length > 1 && [chosen, all.map((one) => one.name)], () => all.map(tab));
    draw(scores, "scores", report?.by_take && [chosen, report.by_take, report.by_frame, output?.range], () => headline(output, report));
    const live_ = curves[chosen];
    const rows = report?.curve && !(isTraining && live_) ? { rows: report.curve, steps: report.curve.at(-1)[0] } : live_;
    draw(curve, "curve", rows && [chosen, rows], () => (rows.steps > 1 ? lossCurve(rows.rows, rows.steps, output?.kind !== "continuous") : note("training_at_once")));
    draw(matrix, "matrix", report?.by_take && [chosen, report.by_take, output?.shown], () => (report.by_take.confusion ? confusionTable(chosen, report.by_take) : farthest(report.by_take)));
  };
  const note = (name) => make("p", { class: "muted" }, t(name));

  const tab = (output) => {
    const choose = () => {
      chosen = output.name;
      show();
      tabs.querySelector("[aria-pressed=true]")?.focus();
    };
    return make("button", { "aria-pressed": String(output.name === chosen), onclick: choose }, output.name);
  };

  const headline = (output, { by_take: byTake, by_frame: byFrame }) => {
    const isShare = byTake.accuracy !== undefined;
    const figure = isShare ? t("training_share", { percent: percentOf(byTake.accuracy) }) : short(byTake.rmse);
    const [low, high] = output?.range ?? [];
    const about = isShare ? t(byTake.split === "blocks" ? "score_blocks" : "score_takes") : t(byTake.split === "takes" ? "score_off_takes" : "score_off_blocks", { low, high });
    const made = [make("p", { class: "score" }, make("strong", {}, figure), make("span", {}, about))];
    if (!isShare) made.push(make("p", { class: "muted" }, t("score_mean", { value: short(byTake.of_the_mean) })));
    if (byFrame) {
      const beside = isShare ? t("training_share", { percent: percentOf(byFrame.accuracy) }) : short(byFrame.rmse);
      made.push(make("p", { class: "score-beside muted" }, make("b", {}, beside), ` ${t("score_frames")}${byFrame.warning ? `; ${byFrame.warning}` : ""}`));
    }
    return made;
  };

  const farthest = ({ worst_takes: takes }) => {
    const look = (take) => window.dispatchEvent(new CustomEvent("instrument-takes-picked", { detail: { takes: [take], by: element, isAsked: true } }));
    const rows = takes.map(({ take, rmse }) =>
      make("li", {}, make("button", { onclick: () => look(take), title: t("score_look") }, t("take_number", { take })), make("b", {}, short(rmse))),
    );
    return [make("p", { class: "muted" }, t("score_worst")), make("ul", { class: "worst-takes" }, ...rows)];
  };

  const clock = setInterval(show, 500);
  show();
  return [
    () => clearInterval(clock),
    live.on("state", ({ name }) => {
      if (name === "training") lastAt = performance.now();
      show();
    }),
  ];
});
