// How the loss fell while an output learned, and beside it how it did on takes kept apart; each says itself what it is.

import { t } from "./live.js";
import { make } from "./element.js";
import { percentOf } from "./controls.js";

const SVG = "http://www.w3.org/2000/svg";

// Rows of (step, loss, score or null) of `steps`; `isShare` for a score that is a share, not an error.
export function lossCurve(rows, steps, isShare) {
  const element = make("div", { class: "loss-curves" });
  const scores = rows.filter(([, , score]) => score !== null && score >= 0).map(([step, , score]) => [step, score]);
  const losses = rows.map(([step, loss]) => [step, loss]);
  const last = (points) => points.at(-1)[1];
  const score = scores.length && (isShare ? t("training_share", { percent: percentOf(last(scores)) }) : last(scores).toFixed(3));
  if (scores.length) element.append(one(scores, steps, isShare ? 1 : highest(scores), score, t("training_apart")));
  element.append(one(losses, steps, highest(losses), last(losses).toFixed(3), t("training_loss", { steps: losses.at(-1)[0] })));
  return element;
}

const highest = (points) => Math.max(...points.map(([, value]) => value)) || 1;

function one(points, steps, top, value, name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, to] of Object.entries({ viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img", "aria-label": `${value} ${name}` }))
    svg.setAttribute(key, to);
  const line = document.createElementNS(SVG, "polyline");
  line.setAttribute("points", points.map(([step, each]) => `${(100 * step) / steps},${96 - 92 * Math.min(each / top, 1)}`).join(" "));
  svg.append(line);
  return make("div", {}, svg, make("p", {}, make("b", {}, value), " ", name));
}
