// What is sent, and the routes it may come from, by the same key: "out /cutoff", "synth cc 0 74".

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

export function shortNumber(value) {
  const size = Math.abs(value);
  return Number.isInteger(value) ? String(value) : value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

// A value of a continuous output, with as many decimals as its range needs.
export function valueText({ low, high }, value) {
  return value.toFixed(Math.min(Math.max(2 - Math.floor(Math.log10(high - low)), 0), 6));
}

// A share in percent; 100 only where it is all.
export function percentOf(share) {
  return share === 1 ? 100 : Math.min(Math.round(share * 100), 99);
}
