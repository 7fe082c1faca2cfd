// What is sent, and the routes it may come from, by the same key: "out /cutoff", "synth cc 0 74".

import { t } from "./live.js";

// The key of one control as live.on("frame") and live.on("controls") give it.
export function keyOfControl([destination, first, number]) {
  if (typeof first === "string") return `${destination} ${first}`;
  const kind = first & 0xf0;
  const channel = first & 0x0f;
  if (kind === 0xc0) return `${destination} program ${channel}`;
  return `${destination} ${kind === 0xb0 ? "cc" : "note"} ${channel} ${number}`;
}

export function keyOfRoute({ destination, osc, midi, channel, midi_number: number }) {
  if (osc) return `${destination} ${osc}`;
  return `${destination} ${midi} ${channel}${midi === "program" ? "" : ` ${number}`}`;
}

// What a route sent last, as text and as a share 0..1 of its range; isNew where it is worth a flash after the text before.
export function readingOf(route, values, before) {
  const within = (value) => Math.min(Math.max((value - route.low) / (route.high - route.low || 1), 0), 1);
  const [first, second] = values;
  if (typeof first === "string") return { text: first, share: first === "none" ? 0 : (second ?? 1), isNew: first !== before };
  if (route.osc) return { text: valueText(route, first), share: within(first), isNew: false };
  if (route.midi === "note") {
    const velocity = (first & 0xf0) === 0x90 ? values[2] : 0;
    return { text: t(velocity > 0 ? "meter_on" : "meter_off"), share: velocity / 127, isNew: velocity > 0 };
  }
  const text = String(values[values.length - 1]);
  if (route.midi === "program") return { text, share: 1, isNew: text !== before };
  return { text, share: within(values[values.length - 1]), isNew: false };
}

export function shortNumber(value) {
  const size = Math.abs(value);
  return Number.isInteger(value) ? String(value) : value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

// A value of an output or a route, with as many decimals as its range needs.
export function valueText({ low, high }, value) {
  return value.toFixed(Math.min(Math.max(2 - Math.floor(Math.log10(high - low)), 0), 6));
}

// A share in percent; 100 only where it is all.
export function percentOf(share) {
  return share === 1 ? 100 : Math.min(Math.round(share * 100), 99);
}
