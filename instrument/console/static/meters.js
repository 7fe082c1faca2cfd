// <instrument-meters>: every route of the patch with what it sends now and its last seconds; a note or an event flashes.

import { live, t } from "./live.js";
import { define, drawer, make, sharpCanvas } from "./element.js";
import { look } from "./accents.js";
import { keyOfControl, keyOfRoute, readingOf } from "./controls.js";

const SHOWN_MS = 10_000;
const DRAWN_EVERY_MS = 60; // a curve of ten seconds needs no more
const FLASH_MS = 180;

define("meters", (element) => {
  element.classList.add("panel");
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", t("meters"));
  const rows = make("div", { class: "meter-rows" });
  element.append(make("h2", {}, t("meters")), rows);
  let meters = new Map();
  let described = "";
  let drawnAt = 0;

  const build = () => {
    const routes = live.state.routes ?? [];
    const description = JSON.stringify([routes, live.state.status?.outputs?.map((one) => [one.name, one.allowed])]);
    if (description === described) return;
    described = description;
    meters = new Map();
    const made = routes.map((route) => {
      const meter = meterOf(route);
      meters.set(meter.key, [...(meters.get(meter.key) ?? []), meter]);
      return meter.row;
    });
    rows.replaceChildren(...(made.length ? made : [make("p", { class: "muted" }, t("meters_none"))]));
  };

  const take = (controls) => {
    const now = performance.now();
    for (const control of controls) {
      const values = control.slice(typeof control[1] === "string" ? 2 : 1);
      for (const meter of meters.get(keyOfControl(control)) ?? []) meter.take(values, now);
    }
  };

  const draw = drawer(() => {
    const now = performance.now();
    for (const list of new Set([...meters.values()].flat())) list.draw(now);
  });
  build();
  return [
    live.on("state", ({ name }) => (name === "routes" || name === "status" || name === "takes") && build()),
    live.on("controls", take),
    live.on("frame", ({ controls }) => {
      take(controls);
      if (performance.now() - drawnAt < DRAWN_EVERY_MS) return;
      drawnAt = performance.now();
      draw();
    }),
  ];
});

function meterOf(route) {
  const { accent, mark } = look(route.output, route.class_name);
  const value = make("output", { class: "meter-value" });
  const name = route.osc ?? `${t(`midi_${route.midi}`)} ${route.midi === "program" ? "" : route.midi_number}`;
  const { canvas, fit } = sharpCanvas({ "aria-hidden": "true" });
  const row = make(
    "div",
    { class: "meter", style: `--accent: ${accent}` },
    make("span", { class: "meter-name" }, make("i", { "aria-hidden": "true" }, mark), name),
    make("span", { class: "meter-from" }, `${route.source} → ${route.destination}${route.is_muted ? `, ${t("meter_muted")}` : ""}`),
    value,
    canvas,
  );
  row.classList.toggle("is-muted", route.is_muted);
  const history = []; // [time, share 0..1, colour]
  let share = 0;
  let colour = accent;
  let flashedAt = -Infinity;
  let text = "";

  return {
    row,
    key: keyOfRoute(route),
    take(values, now) {
      const reading = readingOf(route, values, text);
      if (reading.isNew) flashedAt = now;
      if (typeof values[0] === "string") colour = look(route.output, values[0]).accent;
      ({ text, share } = reading);
    },
    draw(now) {
      history.push([now, share, colour]);
      while (history.length && now - history[0][0] > SHOWN_MS) history.shift();
      if (value.textContent !== text) value.textContent = text;
      row.classList.toggle("flash", now - flashedAt < FLASH_MS);
      drawHistory(fit(), history, now);
    },
  };
}

// The last seconds as a filled curve that runs to the left, and the level now at its end.
function drawHistory({ context, width, height }, history, now) {
  const levelWidth = 10;
  const run = width - levelWidth - 6;
  const y = (share) => height - 2 - share * (height - 4);
  context.clearRect(0, 0, width, height);
  for (let begin = 0; begin < history.length - 1; ) {
    let end = begin + 1;
    while (end < history.length - 1 && history[end][2] === history[begin][2]) end += 1;
    const curve = new Path2D();
    for (let at = begin; at <= end; at++) {
      const x = run * (1 - (now - history[at][0]) / SHOWN_MS);
      at === begin ? curve.moveTo(x, y(history[at][1])) : curve.lineTo(x, y(history[at][1]));
    }
    const area = new Path2D(curve);
    area.lineTo(run * (1 - (now - history[end][0]) / SHOWN_MS), height);
    area.lineTo(run * (1 - (now - history[begin][0]) / SHOWN_MS), height);
    context.globalAlpha = 0.16;
    context.fillStyle = history[begin][2];
    context.fill(area);
    context.globalAlpha = 1;
    context.strokeStyle = history[begin][2];
    context.lineWidth = 2;
    context.lineJoin = "round";
    context.stroke(curve);
    begin = end;
  }
  const last = history[history.length - 1];
  context.fillStyle = "#2c343d";
  context.fillRect(width - levelWidth, 0, levelWidth, height);
  context.fillStyle = last[2];
  context.fillRect(width - levelWidth, y(last[1]), levelWidth, height - y(last[1]));
}
