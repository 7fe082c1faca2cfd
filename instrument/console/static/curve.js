// <instrument-curve figure columns unit kind>: one figure and its last hour.

import { t } from "./live.js";
import { define, drawer, make, sharpCanvas } from "./element.js";
import { onHour } from "./hour.js";

export function shown(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  return value < 0.1 ? value.toFixed(3) : value < 10 ? value.toFixed(value < 1 ? 2 : 1) : Math.round(value).toString();
}

const newest = (points) => points.findLast(([, value]) => value !== null)?.[1] ?? null;
const style = getComputedStyle(document.documentElement);
const colour = (name) => style.getPropertyValue(name).trim();

define("curve", (element) => {
  const name = element.getAttribute("figure");
  const columns = element.getAttribute("columns").split(",");
  const kind = element.getAttribute("kind");
  const unit = element.getAttribute("unit");
  element.classList.add("panel");
  const figure = make("strong");
  const more = make("span", { class: "curve-more" });
  const { canvas, fit } = sharpCanvas({ role: "img" });
  element.append(
    make("h2", {}, t(`curve_${name}`)),
    make("p", { class: "curve-figure" }, figure, make("span", { class: "curve-unit" }, unit ? t(unit) : "")),
    more,
    canvas,
  );
  let curves = [];
  let hour = null;

  const draw = drawer(() => {
    const { context, width, height } = fit();
    if (!hour || !width) return;
    const bottom = height - 18;
    const top = kind === "share" ? 1 : niceTop(highest(curves.flat()));
    const x = (s) => width * (1 + s / hour.spanS);
    const y = (value) => bottom - (Math.min(value, top) / top) * (bottom - 12);
    context.clearRect(0, 0, width, height);
    context.font = "12px Roboto, sans-serif";
    context.fillStyle = colour("--muted");
    context.strokeStyle = colour("--line");
    context.lineWidth = 1;
    line(context, [[0, bottom + 0.5], [width, bottom + 0.5]]);
    line(context, [[0, 12.5], [width, 12.5]], [2, 4]);
    context.textAlign = "left";
    context.fillText(kind === "share" ? "100" : shown(top).replace(".0", ""), 0, 10);
    const minutes = hour.spanS / 60;
    context.fillText(t("curve_before", { minutes: Math.round(minutes) }), 0, height - 4);
    context.textAlign = "right";
    context.fillText(t("curve_now"), width, height - 4);
    if (kind === "count") {
      context.fillStyle = colour("--bad");
      for (const curve of curves)
        for (const [s, value] of curve) if (value) context.fillRect(x(s) - 1.5, y(value), 3, bottom - y(value));
      return;
    }
    curves.forEach((curve, index) => {
      context.strokeStyle = index ? colour("--faint") : colour("--text");
      context.lineWidth = index ? 1 : 2;
      let piece = [];
      for (const [s, value] of [...curve, [0, null]]) {
        if (value !== null) piece.push([x(s), y(value)]);
        else {
          if (piece.length === 1) piece.push([piece[0][0] + 1, piece[0][1]]);
          line(context, piece);
          piece = [];
        }
      }
    });
    context.strokeStyle = colour("--bad");
    let before = null;
    for (const [s, count] of hour.column("restarts")) {
      if (before !== null && count > before) line(context, [[x(s), 12], [x(s), bottom]], [4, 3]);
      before = count ?? before;
    }
  });

  const resized = new ResizeObserver(draw);
  resized.observe(canvas);
  return [
    () => resized.disconnect(),
    onHour((newer) => {
      hour = newer;
      curves = columns.map((one) => (kind === "rate" ? hour.perSecond(one) : hour.column(one)));
      const counted = curves.flat().reduce((sum, [, value]) => sum + (value ?? 0), 0);
      const scale = kind === "share" ? 100 : 1;
      const now = kind === "count" ? counted : newest(curves[0]);
      figure.textContent = kind === "count" ? String(Math.round(counted)) : shown(now === null ? null : now * scale);
      element.dataset.value = now ?? "";
      element.classList.toggle("curve-bad", kind === "count" && counted > 0 && name === "errors");
      more.textContent =
        kind === "count" ? t("curve_counted") : curves[1] ? t("curve_p99", { value: shown(newest(curves[1])) }) : "";
      canvas.setAttribute("aria-label", `${t(`curve_${name}`)}: ${figure.textContent} ${unit ? t(unit) : ""}`);
      draw();
    }),
  ];
});

// The highest value but for a few, so that one slow start does not flatten the hour; those are cut off at the top.
function highest(points) {
  const values = points.map(([, value]) => value ?? 0).sort((a, b) => a - b);
  return values[Math.floor((values.length - 1) * 0.98)] ?? 0;
}

function niceTop(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((one) => one * power >= value) * power;
}

function line(context, points, dashes = []) {
  if (points.length < 2) return;
  context.setLineDash(dashes);
  context.beginPath();
  points.forEach(([x, y], index) => (index ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
  context.setLineDash([]);
}
