// The last hour's rows, fetched anew whenever there is another and the page is looked at; see instrument/health.py.
//
//   onHour((hour) => …)       when there is a newer one; hour.column("total_p50") is [[seconds before now, value], …]

import { live } from "./live.js";

const listeners = new Set();
let newest = null;
let isAsking = false;

export function onHour(listener) {
  listeners.add(listener);
  if (newest) listener(newest);
  else fetchHour();
  return () => listeners.delete(listener);
}

async function fetchHour() {
  if (isAsking || document.visibilityState !== "visible" || !listeners.size) return;
  isAsking = true;
  try {
    const answer = await fetch("/health/rows");
    if (answer.ok) newest = read(await answer.json());
    for (const listener of listeners) listener(newest);
  } catch {
    // the console is away; the state line says so
  } finally {
    isAsking = false;
  }
}

function read({ keys, rows, incidents, restarts }) {
  const at = keys.indexOf("at_s");
  const endS = rows.length ? rows.at(-1)[at] : 0;
  const spanS = rows.length ? Math.max(300, endS - rows[0][at]) : 300;
  const column = (name) => {
    const index = keys.indexOf(name);
    return rows.map((row) => [row[at] - endS, row[index]]);
  };
  // What was counted in a row is divided by how long it was.
  const perSecond = (name) =>
    column(name).map(([atS, value], n, all) => [atS, value === null ? null : value / (n ? atS - all[n - 1][0] || 1 : 5)]);
  return { endS, spanS, incidents, restarts, column, perSecond };
}

live.on("state", ({ name }) => name === "health" && fetchHour());
document.addEventListener("visibilitychange", fetchHour);
