// The run-through that is looked at, shared by the components of the page Rehearse.
//
//   run.take, run.at, run.span, run.along, run.isPlaying     what is so now; times in seconds from its start
//   run.on("take"|"at"|"span"|"along"|"play", f)             called when that has changed; gives a function that ends it
//   run.choose(id), run.seek(s), run.chooseSpan(a, b), run.play(true)
//   run.frame()                                              what was seen at the playhead, once it is there

import { live } from "./live.js";

const CHUNK_S = 20;
const MOST_CHUNKS = 12;
const listeners = { take: new Set(), at: new Set(), span: new Set(), along: new Set(), play: new Set() };
const chunks = new Map(); // "take start" -> a promise, then what /takes/N/frames gave
let asking = null;
let askedFor = "";
let isWanted = false;

export const run = {
  take: null,
  at: 0,
  span: null,
  along: null,
  isWorking: false,
  box: null, // left, top, right, bottom of all that has been seen of it
  problem: "",
  isPlaying: false,

  on(name, listener) {
    listeners[name].add(listener);
    return () => listeners[name].delete(listener);
  },

  all() {
    return (live.state.takes ?? []).filter(({ kind }) => kind !== "take");
  },

  choose(id) {
    const take = run.all().find((one) => one.id === id) ?? null;
    const isOther = take?.id !== run.take?.id || take?.created_at !== run.take?.created_at;
    run.take = take;
    if (isOther) {
      run.play(false);
      Object.assign(run, { at: 0, span: null, along: null, problem: "", box: null });
      askedFor = "";
      chunks.clear();
      for (const name of ["at", "span", "along"]) tell(name);
    }
    tell("take");
    askAlong();
  },

  seek(s) {
    run.at = Math.min(Math.max(s, 0), run.take?.seconds ?? 0);
    tell("at");
  },

  chooseSpan(one, other) {
    const most = run.take?.seconds ?? 0;
    const [from, to] = [one, other].map((s) => Math.min(Math.max(s, 0), most)).sort((a, b) => a - b);
    run.span = to - from > 0.02 ? [from, to] : null;
    tell("span");
  },

  play(isOn) {
    if (run.isPlaying === isOn) return;
    run.isPlaying = isOn;
    tell("play");
    if (!isOn) return;
    if (run.at >= run.take.seconds - 0.05) run.seek(0);
    let before = performance.now();
    const step = (now) => {
      if (!run.isPlaying || !run.take) return;
      run.seek(run.at + (now - before) / 1000);
      before = now;
      if (run.at >= run.take.seconds) return run.play(false);
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  },

  frame() {
    if (!run.take) return null;
    const start = Math.floor(run.at / CHUNK_S) * CHUNK_S;
    const chunk = chunkFrom(start);
    chunkFrom(start + CHUNK_S); // so that it is there when the playhead is
    if (!chunk || chunk instanceof Promise || !chunk.times_s.length) return null;
    let index = chunk.times_s.findLastIndex((s) => s <= run.at + 0.001);
    if (index < 0) index = 0;
    const part = (name) => chunk[name]?.[index] ?? null;
    return { aspect: chunk.aspect, pose: part("pose"), left_hand: part("left_hand"), right_hand: part("right_hand"), numbers: part("numbers") };
  },
};

function tell(name) {
  for (const listener of listeners[name]) listener();
}

function chunkFrom(start) {
  if (start > run.take.seconds) return null;
  const key = `${run.take.id} ${start}`;
  if (!chunks.has(key)) {
    const asked = fetch(`/takes/${run.take.id}/frames?from_s=${start}&to_s=${start + CHUNK_S}`).then(
      async (answer) => {
        if (!answer.ok || chunks.get(key) !== asked) return chunks.delete(key);
        const found = await answer.json();
        chunks.set(key, found);
        widen(found);
        tell("at");
      },
      () => chunks.delete(key),
    );
    chunks.set(key, asked);
    if (chunks.size > MOST_CHUNKS) chunks.delete(chunks.keys().next().value);
  }
  return chunks.get(key);
}

// Makes room for all of a chunk, so that who was small in the picture is not small here.
function widen(chunk) {
  let box = run.box ?? [1, 1, 0, 0];
  for (const [part, step] of [["pose", 4], ["left_hand", 3], ["right_hand", 3]]) {
    for (const points of chunk[part] ?? []) {
      for (let index = 0; points && index < points.length; index += step) {
        if (step === 4 && points[index + 3] < 0.3) continue;
        const [x, y] = [points[index], points[index + 1]];
        box = [Math.min(box[0], x), Math.min(box[1], y), Math.max(box[2], x), Math.max(box[3], y)];
      }
    }
  }
  run.box = box[2] > box[0] ? box : null;
}

// Works out anew what the models say, if other ones play than when that was last asked.
async function askAlong() {
  if (!run.take) return;
  const models = (live.state.status?.outputs ?? []).map((one) => [one.name, one.model, one.least_familiarity, one.running]);
  const wanted = JSON.stringify([run.take.id, models]);
  if (wanted === askedFor) return;
  askedFor = wanted;
  asking?.abort();
  const mine = (asking = new AbortController());
  run.isWorking = true;
  tell("along");
  try {
    const answer = await fetch(`/takes/${run.take.id}/along`, { signal: mine.signal });
    const found = await answer.json();
    if (mine !== asking) return;
    run.along = answer.ok ? found : null;
    run.problem = answer.ok ? "" : found.reason;
  } catch (error) {
    if (mine !== asking) return;
    run.problem = error.message;
    askedFor = "";
  }
  run.isWorking = false;
  tell("along");
}

// The name in force at that time among spans, undefined outside of them.
export function nameAt(spans, s) {
  return spans?.findLast(([from]) => from <= s + 0.001)?.[2];
}

export function valueAt(curve, s) {
  return curve?.findLast(([at]) => at <= s + 0.001)?.[1];
}

export function clock(s, digits = 1) {
  const minutes = Math.floor(s / 60);
  return `${minutes}:${(s - 60 * minutes).toFixed(digits).padStart(digits ? 3 + digits : 2, "0")}`;
}

live.on("state", ({ name }) => {
  if (name === "takes") {
    const all = run.all();
    const id = all.some((one) => one.id === run.take?.id) ? run.take.id : all.at(-1)?.id;
    if (id !== undefined || run.take) run.choose(id);
    else if (!isWanted) tell("take");
    isWanted = true;
  } else if (name === "status") askAlong();
});
