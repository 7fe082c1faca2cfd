// A canvas that shows how a route shapes its input, and is dragged, or moved with arrow keys, to change it.
//
//   const curve = curveOf({label, onChange: (settings, isLast) => …})
//   curve.element; curve.show(route); curve.at(share)    share: where on the curve what is sent now lies, or null
//
// A level has its exponent dragged; a note or a decision its threshold, with the band of hysteresis below it.

import { drawer, make, sharpCanvas } from "./element.js";

const LEAST = 0.05;
const MOST = 20;

export function isLevel(route) {
  if (route.when) return route.when === "progress" || route.midi === "note"; // the velocity of a movement is shaped, too
  return route.midi !== "note" && route.midi !== "program" && (route.class_name !== null || route.is_continuous || route.value !== "said");
}

export function curveOf({ label, onChange }) {
  const { canvas, fit } = sharpCanvas({ class: "route-shape", role: "slider", tabindex: "0", "aria-label": label });
  let route = null;
  let share = null;
  let isDragged = false;

  const draw = drawer(() => route && drawCurve(fit(), route, share, 10));
  const say = () => {
    const value = isLevel(route) ? route.curve : route.threshold;
    canvas.setAttribute("aria-valuenow", value);
    canvas.setAttribute("aria-valuemin", isLevel(route) ? LEAST : 0);
    canvas.setAttribute("aria-valuemax", isLevel(route) ? MOST : 1);
    draw();
  };
  const change = (settings, isLast) => {
    route = { ...route, ...settings };
    say();
    onChange(settings, isLast);
  };
  const drag = (event, isLast = false) => {
    const box = canvas.getBoundingClientRect();
    const x = Math.min(Math.max((event.clientX - box.left - 10) / (box.width - 20), 0.02), 0.98);
    const up = Math.min(Math.max(1 - (event.clientY - box.top - 10) / (box.height - 20), 0.02), 0.98);
    if (!isLevel(route)) return change({ threshold: Math.round(x * 100) / 100 }, isLast);
    const along = route.invert ? 1 - x : x;
    const value = Math.min(Math.max(Math.log(up) / Math.log(along), LEAST), MOST);
    change({ curve: Number(value.toPrecision(3)) }, isLast);
  };
  canvas.onpointerdown = (event) => {
    isDragged = true;
    canvas.setPointerCapture(event.pointerId);
    drag(event);
  };
  canvas.onpointermove = (event) => isDragged && drag(event);
  canvas.onpointerup = canvas.onpointercancel = (event) => {
    if (isDragged) drag(event, true);
    isDragged = false;
  };
  canvas.onkeydown = (event) => {
    const by = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    if (isLevel(route)) {
      const value = Math.min(Math.max(route.curve * 1.1 ** by, LEAST), MOST);
      change({ curve: Number(value.toPrecision(3)) }, true);
    } else change({ threshold: Math.min(Math.max(Math.round(route.threshold * 100 + by * 2) / 100, 0), 1) }, true);
  };
  new ResizeObserver(draw).observe(canvas);
  return {
    element: canvas,
    show(shown) {
      if (isDragged) return;
      route = shown;
      say();
    },
    at(where) {
      if (where === share) return;
      share = where;
      draw();
    },
  };
}

// `edge` pixels around it are left free.
export function drawCurve({ context, width, height }, route, share, edge) {
  const inner = { width: width - 2 * edge, height: height - 2 * edge };
  const point = (x, y) => [edge + x * inner.width, edge + (1 - y) * inner.height];
  context.clearRect(0, 0, width, height);
  context.strokeStyle = "#2c343d";
  context.lineWidth = 1;
  if (inner.height > 60) {
    for (const line of [0, 0.25, 0.5, 0.75, 1]) {
      context.beginPath();
      context.moveTo(...point(line, 0));
      context.lineTo(...point(line, 1));
      context.moveTo(...point(0, line));
      context.lineTo(...point(1, line));
      context.stroke();
    }
  }
  const colour = route.accent ?? "#eef1f4";
  context.lineJoin = "round";
  context.lineCap = "round";
  context.lineWidth = inner.height > 60 ? 4 : 2.5;
  context.strokeStyle = colour;
  if (isLevel(route)) {
    context.beginPath();
    for (let step = 0; step <= 64; step++) {
      const x = step / 64;
      const [px, py] = point(x, (route.invert ? 1 - x : x) ** route.curve);
      step ? context.lineTo(px, py) : context.moveTo(px, py);
    }
    context.stroke();
    if (share !== null) {
      const x = share ** (1 / route.curve);
      context.fillStyle = "#ffffff";
      context.beginPath();
      context.arc(...point(route.invert ? 1 - x : x, share), inner.height > 60 ? 8 : 3.5, 0, 2 * Math.PI);
      context.fill();
    }
    return;
  }
  const gone = Math.max(route.threshold - route.hysteresis, 0);
  context.fillStyle = colour;
  context.globalAlpha = 0.18;
  context.fillRect(...point(gone, 1), (route.threshold - gone) * inner.width, inner.height);
  context.globalAlpha = 1;
  context.beginPath();
  context.moveTo(...point(0, 0));
  context.lineTo(...point(route.threshold, 0));
  context.lineTo(...point(route.threshold, 1));
  context.lineTo(...point(1, 1));
  context.stroke();
  if (share !== null) {
    context.fillStyle = "#ffffff";
    context.beginPath();
    context.arc(...point(share ? 1 : 0, share ? 1 : 0), inner.height > 60 ? 8 : 3.5, 0, 2 * Math.PI);
    context.fill();
  }
}
