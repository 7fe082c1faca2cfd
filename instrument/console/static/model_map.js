// <instrument-model-map [output]>: every example as a point in two dimensions, what the model says around them, and
// where the performer is now. What the numbers are: /instrument/model/map in the protocol.

import { live, t } from "./live.js";
import { define, drawer, make, sharpCanvas } from "./element.js";
import { look, outputs } from "./accents.js";
import { contour, roomiest } from "./contours.js";

const NONE = 255;
const TRAIL = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1 : 24; // frames
const REACH_PX = 16;
const BANDS = 4; // of a continuous output's range
const MOST_NAMES = 24;
const SAY_EVERY_MS = 1000;

define("model-map", (element) => {
  element.classList.add("panel");
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", t("map"));
  const choice = make("select", { "aria-label": t("map_output"), hidden: true });
  const { canvas, fit } = sharpCanvas({ role: "slider", tabindex: 0, "aria-valuemin": 0, "aria-description": t("map_about") });
  const none = make("p", { class: "map-none", role: "status" });
  const said = make("p", { role: "status" });
  const remove = make("button", { title: t("take_delete_about"), hidden: true }, t("take_delete"));
  element.append(
    make("div", { class: "map-top" }, make("h2", { title: t("map_about") }, t("map")), choice),
    make("div", { class: "map-picture" }, canvas, none),
    make("div", { class: "map-foot" }, said, remove),
  );
  let shown = null; // the picture there is
  let ground = null; // regions, points and names, drawn once
  let isFresh = false;
  let wanted = ""; // the output
  let models = ""; // the models that played when the picture was asked for
  let looks = ""; // the accents it was drawn in
  let picked = new Set(); // numbers of takes
  let trail = [];
  let now = null; // what is said of the performer
  let asked = 0;
  let spokenAt = 0;

  // The picture

  const fetchMap = async () => {
    const mine = ++asked;
    const output = outputs().find((one) => one.name === wanted);
    if (!output) return show(null, t("map_none"));
    if (output.kind === "trigger") return show(null, t("map_movements"));
    try {
      const found = await live.ask("/instrument/model/map", wanted);
      if (mine === asked) show(readMap(...found), "");
    } catch (error) {
      if (mine === asked) show(null, output.model ? error.message : t("map_none"));
    }
  };
  const show = (map, instead) => {
    if (map?.output !== shown?.output) trail = [];
    shown = map;
    none.textContent = instead;
    none.hidden = map !== null;
    canvas.hidden = map === null;
    describe();
    redraw();
  };
  const redraw = () => {
    isFresh = false;
    draw();
  };
  const draw = drawer(() => {
    const { context, width, height } = fit();
    if (!shown || !width || !height) return;
    if (!isFresh || ground?.width !== canvas.width || ground?.height !== canvas.height) {
      ground = new OffscreenCanvas(canvas.width, canvas.height);
      const scale = canvas.width / width;
      const on = ground.getContext("2d");
      on.scale(scale, scale);
      drawGround(on, width, height, shown, picked);
      isFresh = true;
    }
    context.clearRect(0, 0, width, height);
    context.drawImage(ground, 0, 0, width, height);
    if (now && trail.length) drawLive(context, width, height, trail, now);
  });

  // Where the performer is

  const move = ({ tracked, features, predictions }) => {
    if (!shown) return;
    const place = tracked && features ? shown.place(features) : null;
    if (!place && !trail.length) return;
    place ? trail.push(place) : trail.splice(0, 2);
    if (trail.length > TRAIL) trail.shift();
    if (place) {
      const what = predictions[wanted]?.[0];
      now = { ...(what === "none" ? { accent: "#9fabb8", mark: "○" } : look(wanted, what)), isThere: true };
    } else if (now) now = { ...now, isThere: false };
    element.dataset.at = place ? place.map((one) => one.toFixed(3)).join(" ") : "";
    draw();
    if (performance.now() - spokenAt > SAY_EVERY_MS) label();
  };

  // Takes

  const takes = () => shown?.takes.filter((id) => live.state.takes?.some((take) => take.id === id)) ?? [];
  const pick = (ids, isTold = true) => {
    picked = new Set(ids);
    describe();
    redraw();
    if (isTold) window.dispatchEvent(new CustomEvent("instrument-takes-picked", { detail: { takes: [...picked], by: element } }));
  };
  const onPicked = ({ detail }) => detail.by !== element && pick(detail.takes, false);
  const nearest = (event) => {
    const box = canvas.getBoundingClientRect();
    const there = new Set(takes());
    let best = null;
    let least = REACH_PX ** 2;
    for (const point of shown?.points ?? []) {
      const square = (point.x * box.width - (event.clientX - box.left)) ** 2 + ((1 - point.y) * box.height - (event.clientY - box.top)) ** 2;
      if (square < least && there.has(point.take)) [best, least] = [point, square];
    }
    return best;
  };
  canvas.addEventListener("pointermove", (event) => {
    const point = nearest(event);
    canvas.style.cursor = point ? "pointer" : "";
    canvas.title = point ? t("take_number", { take: point.take }) : "";
  });
  canvas.addEventListener("click", (event) => {
    const point = nearest(event);
    pick(point ? [point.take] : []);
  });
  canvas.addEventListener("keydown", (event) => {
    const order = takes();
    const at = order.findIndex((id) => picked.has(id));
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: -order.length, End: order.length }[event.key];
    if (step && order.length) pick([order[Math.min(Math.max(at < 0 && step < 0 ? 0 : at + step, 0), order.length - 1)]]);
    else if ((event.key === "Delete" || event.key === "Backspace") && picked.size) remove.click();
    else if (event.key === "Escape" && picked.size) pick([]);
    else return;
    event.preventDefault();
  });
  remove.onclick = async () => {
    const numbers = takes().filter((id) => picked.has(id));
    pick([]);
    canvas.focus();
    try {
      await live.ask("/instrument/takes/delete", ...numbers);
    } catch (error) {
      said.textContent = error.message;
    }
  };

  // In words

  const describe = () => {
    const chosen = takes().filter((id) => picked.has(id));
    remove.hidden = !chosen.length;
    element.style.removeProperty("--accent");
    if (!shown) return said.replaceChildren();
    if (chosen.length !== 1) {
      const isOld = outputs().find((one) => one.name === wanted)?.model !== shown.model;
      const words = { examples: shown.examples, takes: shown.takes.length, percent: Math.floor(100 * shown.agreement) };
      said.textContent = chosen.length ? t("map_takes", { count: chosen.length }) : t(isOld ? "map_old" : "map_said", words);
      said.title = t("map_limits");
    } else {
      const points = shown.points.filter((point) => point.take === chosen[0]);
      const wrong = points.filter((point) => point.isWrong).length;
      const { accent, mark } = shown.look(points[0].shown);
      element.style.setProperty("--accent", accent);
      const what = make("b", {}, `${mark} ${shown.name(points[0].shown)}`);
      const how = wrong ? t("map_take_wrong", { percent: Math.round((100 * wrong) / points.length) }) : t("map_take");
      said.replaceChildren(t("take_number", { take: chosen[0] }), " ", what, ` · ${how}`);
      said.title = "";
    }
    label();
  };
  const label = () => {
    spokenAt = performance.now();
    if (!shown) return;
    const words = { output: shown.output, classes: shown.names.length, examples: shown.examples };
    const near = trail.length && now?.isThere ? shown.name(shown.nearest(trail.at(-1)).shown) : t("map_nobody");
    canvas.setAttribute("aria-label", `${t(shown.isClass ? "map_label" : "map_label_values", words)} ${t("map_nearest", { near })}`);
    const order = takes();
    const at = order.findIndex((id) => picked.has(id));
    canvas.setAttribute("aria-valuemax", order.length);
    canvas.setAttribute("aria-valuenow", at + 1);
    canvas.setAttribute("aria-valuetext", at < 0 ? t("map_no_take") : said.textContent);
  };

  // Which output

  const build = () => {
    const only = element.getAttribute("output");
    const there = outputs().filter((one) => !only || one.name === only);
    const names = there.map((one) => one.name);
    if (choice.dataset.names !== JSON.stringify(names)) {
      choice.dataset.names = JSON.stringify(names);
      choice.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
    }
    choice.hidden = names.length < 2;
    const looksNow = JSON.stringify(shown?.names.map((_, index) => shown.look(index).accent));
    if (looksNow !== looks) redraw();
    looks = looksNow;
    const drawn = JSON.stringify(there.map(({ name, model }) => [name, model]));
    const best = names.includes(wanted) ? wanted : (there.find((one) => one.kind === "class") ?? there[0])?.name ?? "";
    if (best === wanted && drawn === models) return describe();
    [wanted, models] = [best, drawn];
    choice.value = best;
    fetchMap();
  };
  choice.onchange = () => {
    wanted = choice.value;
    fetchMap();
  };
  const watcher = new ResizeObserver(draw);
  watcher.observe(canvas);
  window.addEventListener("instrument-takes-picked", onPicked);
  build();
  return [
    () => watcher.disconnect(),
    () => window.removeEventListener("instrument-takes-picked", onPicked),
    live.wants("features"),
    live.on("frame", move),
    live.on("link", (isThere) => isThere && fetchMap()),
    live.on("state", ({ name }) => {
      if (name === "maps") fetchMap();
      else if (name === "status") build();
      else if (name === "takes") {
        describe();
        redraw();
      }
    }),
  ];
});

// What /instrument/model/map carries, made ready to draw.
function readMap(text, projection, examples, regions) {
  const map = JSON.parse(text);
  const isClass = map.kind === "class";
  const weights = new Float32Array(projection.buffer);
  const features = weights.length / 2 - 1;
  const [columns, rows] = map.grid;
  const [low, high] = map.range;
  const value = (byte) => low + ((high - low) * byte) / 255;
  const view = new DataView(examples.buffer);
  const points = [];
  for (let at = 0; at < examples.length; at += 8) {
    const [x, y] = [view.getUint16(at, true) / 65535, view.getUint16(at + 2, true) / 65535];
    const [shown, said] = [examples[at + 6], examples[at + 7]];
    const isWrong = isClass ? shown !== said : Math.abs(shown - said) > 0.15 * 255;
    points.push({ x, y, take: map.takes[view.getUint16(at + 4, true)], shown, said, isWrong });
  }
  // What is said at each place: a class, or in which part of its range a value is; -1 is none of the classes.
  const cells = Int16Array.from({ length: columns * rows }, (_, at) => {
    const said = regions[2 * at];
    return isClass ? (said === NONE ? -1 : said) : Math.min(BANDS - 1, Math.floor((BANDS * said) / 256));
  });
  const band = (index) => `${brief(value((255 * index) / BANDS))} – ${brief(value((255 * (index + 1)) / BANDS))}`;
  return {
    ...map,
    isClass,
    points,
    cells,
    columns,
    rows,
    regions,
    names: isClass ? map.classes : Array.from({ length: BANDS }, (_, index) => band(index)),
    look: (shown) => look(map.output, isClass ? map.classes[shown] : undefined),
    name: (shown) => (isClass ? map.classes[shown] : brief(value(shown))),
    place(values) {
      if (values.length !== features) return null; // of another patch
      let [x, y] = [weights[2 * features], weights[2 * features + 1]];
      for (let at = 0; at < features; at++) {
        const [across, up] = [weights[2 * at], weights[2 * at + 1]];
        if (across || up) [x, y] = [x + across * values[at], y + up * values[at]];
      }
      return Number.isFinite(x + y) ? [x, y] : null;
    },
    nearest: ([x, y]) => points.reduce((best, one) => ((one.x - x) ** 2 + (one.y - y) ** 2 < (best.x - x) ** 2 + (best.y - y) ** 2 ? one : best)),
  };
}

function brief(value) {
  return Number(value.toFixed(2)).toString();
}

function drawGround(context, width, height, map, picked) {
  const accents = map.names.map((_, index) => map.look(index).accent);
  context.imageSmoothingQuality = "high";
  context.drawImage(coloured(map, accents), 0, 0, width, height);
  context.lineWidth = 1.2;
  const there = new Set(map.cells);
  map.names.forEach((_, index) => {
    if (!there.has(index)) return;
    const path = contour(map.cells, map.columns, map.rows, map.isClass ? (cell) => cell === index : (cell) => cell > index, width, height);
    context.strokeStyle = `${accents[index]}99`;
    context.stroke(path);
  });
  const kept = new Set((live.state.takes ?? []).map((take) => take.id));
  const isPicking = [...picked].some((take) => map.takes.includes(take));
  const size = map.points.length > 600 ? 7 : map.points.length > 200 ? 9 : 11;
  context.textAlign = "center";
  context.textBaseline = "middle";
  if (isPicking) drawPaths(context, width, height, map, picked);
  for (const point of map.points) {
    const { accent, mark } = map.look(point.shown);
    const [x, y] = [point.x * width, (1 - point.y) * height];
    context.globalAlpha = !kept.has(point.take) ? 0.12 : isPicking && !picked.has(point.take) ? 0.3 : 1;
    context.fillStyle = accent;
    if (map.isClass) {
      context.font = `${size}px Roboto, sans-serif`;
      context.fillText(mark, x, y);
    } else {
      context.globalAlpha *= 0.35 + (0.65 * point.shown) / 255;
      disc(context, x, y, (size * (0.45 + (0.75 * point.shown) / 255)) / 2);
      context.fill();
    }
    if (!point.isWrong) continue;
    context.strokeStyle = "#eef1f4";
    context.lineWidth = 1.4;
    disc(context, x, y, size * 0.75);
    context.stroke();
  }
  context.globalAlpha = 1;
  drawNames(context, width, height, map, accents);
}

// The regions as a small picture: how strong a colour is says how sure the model is.
function coloured(map, accents) {
  const picture = new ImageData(map.columns, map.rows);
  const colours = accents.map((accent) => [1, 3, 5].map((at) => parseInt(accent.slice(at, at + 2), 16)));
  const least = 1 / Math.max(map.names.length, 2);
  for (let row = 0; row < map.rows; row++) {
    for (let column = 0; column < map.columns; column++) {
      const from = row * map.columns + column;
      const said = map.cells[from];
      if (said < 0) continue;
      const share = map.isClass ? Math.max(map.regions[2 * from + 1] / 255 - least, 0) / (1 - least) : map.regions[2 * from] / 255;
      const to = 4 * ((map.rows - 1 - row) * map.columns + column);
      picture.data.set([...colours[said], (map.isClass ? 12 + 58 * share ** 1.5 : 8 + 92 * share)], to);
    }
  }
  const small = new OffscreenCanvas(map.columns, map.rows);
  small.getContext("2d").putImageData(picture, 0, 0);
  return small;
}

// The regions' names, each where it has most room beside the points, as far as none covers another.
function drawNames(context, width, height, map, accents) {
  context.font = "500 14px Roboto, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineJoin = "round";
  context.lineWidth = 4;
  context.strokeStyle = "#090b0db0";
  const placed = [];
  for (const { index, x, y } of roomiest(map.cells, map.columns, map.rows, map.points).slice(0, MOST_NAMES)) {
    const text = map.isClass ? `${map.look(index).mark} ${map.names[index]}` : map.names[index];
    const half = context.measureText(text).width / 2 + 6;
    const places = [0, 16, -16].map((aside) => [within(x * width, half, width), within((1 - y) * height + aside, 12, height)]);
    const isFree = (at) => !placed.some((one) => Math.abs(one.at[0] - at[0]) < one.half + half && Math.abs(one.at[1] - at[1]) < 16);
    const at = places.find(isFree);
    if (2 * half > width || !at) continue;
    placed.push({ at, half });
    context.strokeText(text, ...at);
    context.fillStyle = accents[index];
    context.fillText(text, ...at);
  }
}

// The takes that are picked as the ways they went.
function drawPaths(context, width, height, map, picked) {
  context.strokeStyle = "#eef1f4";
  context.lineWidth = 1.2;
  context.lineJoin = "round";
  for (const take of picked) {
    context.beginPath();
    for (const { x, y } of map.points.filter((point) => point.take === take)) context.lineTo(x * width, (1 - y) * height);
    context.globalAlpha = 0.7;
    context.stroke();
  }
  context.globalAlpha = 1;
}

function drawLive(context, width, height, trail, { accent, mark, isThere }) {
  const places = trail.map(([x, y]) => [within(x * width, 12, width), within((1 - y) * height, 12, height)]);
  context.lineCap = "butt";
  for (let at = 1; at < places.length; at++) {
    context.globalAlpha = 0.75 * (at / places.length) ** 1.5;
    context.strokeStyle = "#eef1f4";
    context.lineWidth = 1 + (3 * at) / places.length;
    context.beginPath();
    context.moveTo(...places[at - 1]);
    context.lineTo(...places[at]);
    context.stroke();
  }
  context.globalAlpha = isThere ? 1 : 0.35;
  const [x, y] = places.at(-1);
  disc(context, x, y, 11);
  context.fillStyle = "#0b0d10";
  context.fill();
  context.lineWidth = 2.5;
  context.strokeStyle = "#ffffff";
  context.stroke();
  context.fillStyle = accent;
  context.font = "13px Roboto, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(mark, x, y + 0.5);
  context.globalAlpha = 1;
}

function within(at, edge, size) {
  return Math.min(Math.max(at, edge), size - edge);
}

function disc(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
}
