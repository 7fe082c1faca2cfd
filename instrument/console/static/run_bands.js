// <instrument-run-bands>: the timeline, with what the model that plays and the one before it say along it.

import { live, t } from "./live.js";
import { define, drawer, isTyping, make, sharpCanvas } from "./element.js";
import { look } from "./accents.js";
import { clock, run } from "./run_through.js";
import { shownAt } from "./run_view.js";

const STEP_S = 0.1;
const [AXIS, TALL, LOW, GAP] = [26, 46, 26, 14];
const DARK = "#0b0d10";

define("run-bands", (element) => {
  element.classList.add("panel");
  const said = make("span", { class: "muted", role: "status" });
  const closer = make("button", { title: t("run_in_about"), onclick: () => zoom(0.5) }, t("run_in"));
  const wider = make("button", { title: t("run_out_about"), onclick: () => zoom(2) }, t("run_out"));
  const names = make("div", { class: "bands-names" });
  const { canvas, fit } = sharpCanvas({ "aria-hidden": "true" });
  const slider = make("div", { class: "bands-line", role: "slider", tabindex: "0", "aria-label": t("run_slider"), "aria-valuemin": "0" }, canvas);
  const lanesSaid = make("ul", { class: "unseen" });
  element.append(make("div", { class: "bands-bar" }, make("h2", {}, t("run_bands")), said, closer, wider), make("div", { class: "bands" }, names, slider), lanesSaid);

  let view = [0, 1]; // what of the recording is shown, in seconds
  let anchor = null; // where a span that is being chosen began

  const zoom = (by) => {
    if (!run.take) return;
    const length = Math.min(Math.max((view[1] - view[0]) * by, 2), run.take.seconds || 1);
    const start = Math.min(Math.max(run.at - length / 2, 0), run.take.seconds - length);
    view = [start, start + length];
    draw();
  };
  const follow = () => {
    const length = view[1] - view[0];
    if (run.at >= view[0] && run.at <= view[1]) return;
    const start = Math.min(Math.max(run.at - length * (run.at > view[1] ? 0.1 : 0.9), 0), (run.take?.seconds ?? 0) - length);
    view = [Math.max(start, 0), Math.max(start, 0) + length];
  };

  const lanes = () => {
    const found = [];
    let top = AXIS;
    for (const output of run.along?.outputs ?? []) {
      for (const [which, one, height] of [["now", output.now, TALL], ["before", output.before, LOW]]) {
        found.push({ output, which, one, top, height });
        top += height + (which === "now" ? 3 : GAP);
      }
    }
    return found;
  };

  const build = () => {
    const rows = lanes();
    canvas.style.height = `${rows.length ? rows.at(-1).top + rows.at(-1).height + 6 : 110}px`;
    names.replaceChildren(
      ...rows.map(({ output, which, top, height }) =>
        make("p", { class: `bands-${which}`, style: `top: ${top}px; height: ${height}px` }, which === "now" ? make("b", {}, output.name) : t("run_before")),
      ),
    );
    const isTaught = rows.some(({ one }) => one);
    const reason = rows.find(({ which, one }) => which === "now" && one?.reason)?.one.reason ?? "";
    said.textContent = run.isWorking ? t("run_working") : run.problem || reason || (run.take && run.along && !isTaught ? t("run_no_models") : "");
    element.toggleAttribute("data-working", run.isWorking);
    element.dataset.models = rows.map(({ one }) => one?.model ?? "").join(" ");
    lanesSaid.replaceChildren(
      ...rows
        .filter(({ one }) => one?.spans)
        .map(({ output, which, one }) => {
          const counts = new Map();
          for (const [, , name] of one.spans) if (name && name !== "none") counts.set(name, (counts.get(name) ?? 0) + 1);
          const spans = [...counts].map(([name, count]) => t("run_lane_span", { name, count })).join(", ") || t("run_none");
          return make("li", {}, t("run_lane", { output: output.name, which: t(`run_${which}`), spans }));
        }),
    );
    draw();
  };

  const draw = drawer(() => {
    const { context, width, height } = fit();
    context.clearRect(0, 0, width, height);
    slider.setAttribute("aria-disabled", String(!run.take));
    closer.disabled = wider.disabled = !run.take;
    if (!run.take || !width) return;
    follow();
    const [from, to] = view;
    const x = (s) => ((s - from) / (to - from || 1)) * width;
    ruler(context, width, height, view, x);
    for (const lane of lanes()) drawLane(context, lane, x, width, view);
    if (run.span) {
      const [left, right] = run.span.map(x);
      context.fillStyle = "rgba(255, 255, 255, 0.1)";
      context.fillRect(left, 0, right - left, height);
      context.fillStyle = "#ffffff";
      for (const edge of [left, right]) context.fillRect(edge - 1, 0, 2, height);
    }
    context.fillStyle = "#ffffff";
    context.fillRect(x(run.at) - 1.5, 0, 3, height);
    context.beginPath();
    context.moveTo(x(run.at) - 8, 0);
    context.lineTo(x(run.at) + 8, 0);
    context.lineTo(x(run.at), 11);
    context.fill();
    slider.setAttribute("aria-valuemax", run.take.seconds.toFixed(1));
    slider.setAttribute("aria-valuenow", run.at.toFixed(1));
    slider.setAttribute("aria-valuetext", [clock(run.at), ...spoken()].join(", "));
  });
  const spoken = () => (run.along?.outputs ?? []).filter(({ now }) => now && !now.reason).map((one) => `${one.name} ${shownAt(one, one.now).text}`);

  const timeOf = (event) => {
    const box = canvas.getBoundingClientRect();
    return view[0] + ((event.clientX - box.left) / box.width) * (view[1] - view[0]);
  };
  slider.onpointerdown = (event) => {
    if (!run.take) return;
    slider.setPointerCapture(event.pointerId);
    anchor = timeOf(event);
    run.play(false);
    run.seek(anchor);
    if (!event.shiftKey) run.chooseSpan(anchor, anchor);
  };
  slider.onpointermove = (event) => {
    if (anchor === null) return;
    run.seek(timeOf(event));
    run.chooseSpan(anchor, run.at);
  };
  slider.onpointerup = slider.onpointercancel = () => (anchor = null);
  let held = null; // where a span chosen with shift began
  slider.onkeydown = (event) => {
    const step = event.ctrlKey || event.metaKey ? 1 : STEP_S;
    const places = { ArrowLeft: run.at - step, ArrowRight: run.at + step, PageUp: run.at - 5, PageDown: run.at + 5, Home: 0, End: run.take?.seconds };
    if (!(event.key in places) || !run.take) return;
    event.preventDefault();
    run.play(false);
    held = event.shiftKey ? (held ?? run.at) : null;
    run.seek(places[event.key]);
    if (held !== null) run.chooseSpan(held, run.at);
  };
  slider.onkeyup = (event) => event.key === "Shift" && (held = null);
  const onKey = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || !run.take) return;
    if (event.key === "+" || event.key === "=") zoom(0.5);
    else if (event.key === "-") zoom(2);
    else return;
    event.preventDefault();
  };
  window.addEventListener("keydown", onKey);
  slider.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.25 : 0.8);
  }, { passive: false });

  let shownTake = null;
  const changed = () => {
    if (run.take?.id !== shownTake) view = [0, run.take?.seconds || 1];
    shownTake = run.take?.id ?? null;
    build();
  };
  const watch = new ResizeObserver(() => draw());
  watch.observe(slider);
  changed();
  return [
    () => watch.disconnect(),
    () => window.removeEventListener("keydown", onKey),
    run.on("take", changed),
    run.on("along", build),
    run.on("at", () => draw()),
    run.on("span", () => draw()),
    live.on("state", ({ name }) => name === "takes" && draw()),
  ];
});

function ruler(context, width, height, [from, to], x) {
  const each = [0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600].find((step) => (step / (to - from)) * width > 74) ?? 1200;
  context.fillStyle = "#9fabb8";
  context.font = "14px Roboto, sans-serif";
  context.textBaseline = "middle";
  context.textAlign = "left";
  for (let s = Math.ceil(from / each) * each; s <= to; s += each) {
    context.fillRect(x(s), AXIS - 8, 1, 8);
    context.fillText(clock(s, each < 1 ? 1 : 0), x(s) + 5, AXIS / 2 + 2);
  }
}

function drawLane(context, { output, which, one, top, height }, x, width, [from, to]) {
  context.fillStyle = "#101317";
  context.fillRect(0, top, width, height);
  context.textBaseline = "middle";
  context.textAlign = "left";
  context.font = `500 ${which === "now" ? 18 : 14}px Roboto, sans-serif`;
  if (!one || one.reason) {
    context.fillStyle = "#9fabb8";
    context.fillText(one?.reason ?? (which === "before" ? t("run_no_before") : ""), 8, top + height / 2);
    return;
  }
  if (one.curve) return drawCurve(context, output, one.curve, x, top, height, which);
  for (const [start, end, name] of one.spans) {
    if (end < from || start > to) continue;
    const left = Math.max(x(start), 0);
    const right = Math.min(x(end), width);
    if (name === null) hatch(context, left, top, right - left, height);
    if (name === null || name === "none") continue;
    const { accent, mark } = look(output.name, name);
    context.fillStyle = accent;
    context.globalAlpha = which === "now" ? 1 : 0.72;
    context.fillRect(left, top, Math.max(right - left - 1, 1), height);
    context.globalAlpha = 1;
    context.fillStyle = DARK;
    for (const [text, size] of [[`${mark} ${name}`, which === "now" ? 18 : 14], [mark, 18], [mark, 12], [mark, 9]]) {
      context.font = `500 ${size}px Roboto, sans-serif`;
      const room = right - left - context.measureText(text).width;
      if (room < 2) continue;
      context.fillText(text, left + Math.min(room / 2, 5), top + height / 2 + 1);
      break;
    }
  }
  for (const [at, movement, velocity] of one.hits ?? []) {
    const { mark } = look(output.name, movement);
    context.fillStyle = "#ffffff";
    const tall = height * (0.35 + 0.65 * velocity);
    context.fillRect(x(at) - 1.5, top + height - tall, 3, tall);
    context.font = "14px Roboto, sans-serif";
    context.fillText(mark, x(at) + 4, top + 8);
  }
}

function drawCurve(context, output, curve, x, top, height, which) {
  const { accent } = look(output.name);
  const { low = 0, high = 1 } = (live.state.status?.outputs ?? []).filter(({ name }) => name === output.name).map(({ range }) => ({ low: range[0], high: range[1] }))[0] ?? {};
  context.strokeStyle = accent;
  context.lineWidth = which === "now" ? 2.5 : 1.5;
  context.setLineDash(which === "now" ? [] : [5, 4]);
  context.beginPath();
  let isDown = false;
  for (const [at, value] of curve) {
    if (value === null) {
      isDown = false;
      continue;
    }
    const y = top + height - 3 - ((value - low) / (high - low || 1)) * (height - 6);
    isDown ? context.lineTo(x(at), y) : context.moveTo(x(at), y);
    isDown = true;
  }
  context.stroke();
  context.setLineDash([]);
}

// Where nobody was in view.
function hatch(context, left, top, width, height) {
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  context.strokeStyle = "#2c343d";
  context.lineWidth = 2;
  context.beginPath();
  for (let x = left - height; x < left + width; x += 9) {
    context.moveTo(x, top + height);
    context.lineTo(x + height, top);
  }
  context.stroke();
  context.restore();
}
