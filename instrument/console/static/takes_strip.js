// <instrument-takes-strip>: every take as a strip of skeletons, newest first; delete, undo, redo.

import { live, t } from "./live.js";
import { define, make, sharpCanvas } from "./element.js";
import { look } from "./accents.js";
import { drawSkeleton } from "./skeleton.js";

const strips = new Map(); // what /takes/N/strip gave

define("takes-strip", (element) => {
  element.classList.add("panel");
  const count = make("span");
  const said = make("span", { class: "muted", role: "status" });
  const ask = async (...command) => {
    try {
      const [what] = await live.ask(...command);
      said.textContent = typeof what === "string" ? what : "";
    } catch (error) {
      said.textContent = error.message;
    }
  };
  const undo = make("button", { title: t("undo_about"), onclick: () => ask("/instrument/undo") }, t("undo"));
  const redo = make("button", { title: t("redo_about"), onclick: () => ask("/instrument/redo") }, t("redo"));
  const list = make("ul", { class: "takes", tabindex: "0", "aria-label": t("takes") });
  element.append(make("div", { class: "takes-bar" }, make("h2", {}, t("takes"), " ", count), undo, redo, said), list);

  const tiles = new Map();
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) if (isIntersecting) target.dispatchEvent(new Event("shown"));
  });

  const tileOf = (take) => {
    const [output, target] = shownAs(take);
    const { accent, mark } = look(output, target);
    const { canvas, fit } = sharpCanvas({ "aria-hidden": "true" });
    const others = Object.entries(take.targets).filter(([name]) => name !== output);
    const what = [[output, target], ...others].map(([, one]) => (typeof one === "number" ? one.toFixed(2) : one)).join(", ");
    const remove = make(
      "button",
      { class: "take-delete", title: t("take_delete_about"), "aria-label": t("take_delete", { take: take.id }), onclick: () => ask("/instrument/takes/delete", take.id) },
      "×",
    );
    const quality = Math.round(take.tracked * 100);
    const tile = make(
      "li",
      { class: "take", style: `--accent: ${accent}`, "data-take": take.id },
      canvas,
      make(
        "p",
        {},
        make("b", {}, `${mark} ${what}`),
        make("span", {}, t("take_length", { take: take.id, seconds: take.seconds.toFixed(1) })),
        make("span", { class: quality < 90 ? "bad" : "" }, quality < 100 ? t("take_tracked", { percent: quality }) : ""),
      ),
      remove,
    );
    const draw = async () => {
      const name = `${take.created_at} ${take.id} ${take.frames}`;
      if (!strips.has(name)) strips.set(name, fetch(`/takes/${take.id}/strip`).then((answer) => (answer.ok ? answer.json() : null)));
      const strip = await strips.get(name);
      if (strip && tile.isConnected) drawStrip(fit(), strip, accent);
    };
    tile.addEventListener("shown", draw);
    watcher.observe(tile);
    return tile;
  };

  const build = () => {
    const takes = [...(live.state.takes ?? [])].reverse();
    count.textContent = takes.length ? String(takes.length) : "";
    const wanted = takes.map((take) => [JSON.stringify([take, look(...shownAs(take)).accent]), take]);
    const there = new Set(wanted.map(([key]) => key));
    for (const [key, tile] of tiles) {
      if (there.has(key)) continue;
      watcher.unobserve(tile);
      tile.remove();
      tiles.delete(key);
    }
    wanted.forEach(([key, take], place) => {
      if (!tiles.has(key)) tiles.set(key, tileOf(take));
      const tile = tiles.get(key);
      if (list.children[place] !== tile) list.insertBefore(tile, list.children[place] ?? null);
    });
    if (!takes.length) list.replaceChildren(make("li", { class: "muted" }, t("takes_none")));
    else for (const one of [...list.children]) if (!one.dataset.take) one.remove();
  };

  const onKey = (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.target.matches("input")) return;
    const key = event.key.toLowerCase();
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    ask(key === "y" || event.shiftKey ? "/instrument/redo" : "/instrument/undo");
  };
  window.addEventListener("keydown", onKey);
  build();
  return [
    () => window.removeEventListener("keydown", onKey),
    () => watcher.disconnect(),
    live.on("state", ({ name }) => (name === "takes" || name === "status") && build()),
  ];
});

// The output and target whose accent a take has: a class before a value.
function shownAs(take) {
  const taught = Object.entries(take.targets);
  return taught.find(([, target]) => typeof target === "string") ?? taught[0] ?? ["", take.kind];
}

// The skeletons of a take side by side, each in a frame of its own around the whole take's span.
export function drawStrip({ context, width, height }, strip, colour) {
  context.clearRect(0, 0, width, height);
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
  strip.frames.forEach((_, index) => {
    const flat = (one, step) => one && Float32Array.from(one.flatMap(([x, y]) => (step === 4 ? [x, y, 0, 1] : [x, y, 0])));
    const place = (x, y) => [
      cell * (index + 0.5) + (x * strip.aspect - (left + right) / 2) * scale,
      height / 2 + (y - (top + bottom) / 2) * scale,
    ];
    const parts = { pose: flat(poses[index], 4), left_hand: flat(hands[0][index], 3), right_hand: flat(hands[1][index], 3) };
    context.globalAlpha = 0.45 + (0.55 * (index + 1)) / strip.frames.length;
    drawSkeleton(context, parts, place, { colour, size: 1.8, joints: false });
  });
  context.globalAlpha = 1;
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
