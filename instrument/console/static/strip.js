// The frames of a take as skeletons: fetched once, drawn side by side, or played in the camera's place.

import { drawSkeleton } from "./skeleton.js";

const MOST_KEPT = 150;
const kept = new Map(); // what /takes/N/strip gave: frames never change, trimming only says which of them count

// The take's whole strip of at most so many frames; null if it cannot be read.
export function stripOf(take, frames = 8) {
  const name = `${take.created_at} ${take.id} ${frames}`;
  if (!kept.has(name)) {
    const coming = fetch(`/takes/${take.id}/strip?frames=${frames}`).then((answer) => (answer.ok ? answer.json() : null));
    kept.set(name, coming.catch(() => null));
    coming.then((strip) => strip ?? kept.delete(name)).catch(() => kept.delete(name));
    if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
  }
  return kept.get(name);
}

// The skeletons side by side, in frames around the whole take's span; those outside of `trim` are faint.
export function drawStrip({ context, width, height }, strip, colour, trim = null) {
  context.clearRect(0, 0, width, height);
  const [first, last] = trim ?? [0, Infinity];
  const poses = strip.pose ?? [];
  const hands = [strip.left_hand ?? [], strip.right_hand ?? []];
  const points = [...poses, ...hands.flat()].filter(Boolean).flat();
  if (!points.length) return drawNumbers(context, width, height, strip.numbers ?? [], colour);
  const xs = points.map(([x]) => x * strip.aspect);
  const ys = points.map(([, y]) => y);
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const cell = width / strip.frames.length;
  const scale = Math.min((height - 10) / (bottom - top || 1), (cell * 1.15) / (right - left || 1));
  context.lineWidth = 1.6;
  strip.frames.forEach((frame, index) => {
    const place = (x, y) => [
      cell * (index + 0.5) + (x * strip.aspect - (left + right) / 2) * scale,
      height / 2 + (y - (top + bottom) / 2) * scale,
    ];
    context.globalAlpha = frame < first || frame > last ? 0.18 : 0.45 + (0.55 * (index + 1)) / strip.frames.length;
    drawSkeleton(context, partsOf(strip, index), place, { colour, size: 1.8, joints: false });
  });
  context.globalAlpha = 1;
}

function partsOf(strip, index) {
  const flat = (points, step) => points && Float32Array.from(points.flatMap(([x, y]) => (step === 4 ? [x, y, 0, 1] : [x, y, 0])));
  return {
    pose: flat(strip.pose?.[index], 4),
    left_hand: flat(strip.left_hand?.[index], 3),
    right_hand: flat(strip.right_hand?.[index], 3),
  };
}

function drawNumbers(context, width, height, rows, colour) {
  const shown = rows.filter(Boolean);
  if (!shown.length) return;
  const low = Math.min(...shown.flat());
  const span = Math.max(...shown.flat()) - low || 1;
  context.strokeStyle = colour;
  context.lineWidth = 1.5;
  for (let input = 0; input < shown[0].length; input++) {
    context.beginPath();
    shown.forEach((row, index) => {
      context.lineTo((width * (index + 0.5)) / shown.length, height - 4 - ((row[input] - low) / span) * (height - 8));
    });
    context.stroke();
  }
}

// Plays what the take teaches in the camera view, as often as the page draws; gives a function that stops it.
// `moved(frame)` is called for each frame that is shown, with null at the end.
export function playBack(take, colour, moved) {
  let isOver = false;
  const tell = (detail) => window.dispatchEvent(new CustomEvent("instrument-playback", { detail }));
  const stop = () => {
    if (isOver) return;
    isOver = true;
    tell(null);
    moved(null);
  };
  stopLast();
  stopLast = stop;
  stripOf(take, 600).then((strip) => {
    if (!strip) return stop();
    const [first, last] = take.trim ?? [0, strip.count - 1];
    const places = strip.frames.map((frame, index) => [frame, index]).filter(([frame]) => frame >= first && frame <= last);
    if (!places.length) return stop();
    const begunAt = performance.now();
    const beginsAt_s = strip.times_s[places[0][1]];
    let at = 0;
    const step = () => {
      if (isOver) return;
      const now_s = beginsAt_s + (performance.now() - begunAt) / 1000;
      while (at < places.length && strip.times_s[places[at][1]] < now_s) at++;
      if (at >= places.length) return stop();
      const [frame, index] = places[at];
      tell({ take: take.id, parts: partsOf(strip, index), aspect: strip.aspect, colour });
      moved(frame);
      requestAnimationFrame(step);
    };
    step();
  });
  return stop;
}

let stopLast = () => {};
