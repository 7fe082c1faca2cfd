// One accent for each class, the same on every page, and a mark for those who do not tell colours apart.
//
// Every accent is at least 7:1 on the page's ground.

import { live } from "./live.js";

export const ACCENTS = ["#f5b942", "#5cc4f5", "#ff8a70", "#63d9a0", "#b9a3ff", "#ff94c8", "#c6dd5a", "#4fd8d0", "#dcc39b"];
export const MARKS = ["●", "▲", "■", "◆", "★", "✚", "▼", "⬟", "✖"];

// The outputs of the patch with their classes, numbered through; those of the patch first, then those only takes have.
export function outputs() {
  let number = 0;
  return (live.state.status?.outputs ?? []).map((output) => {
    if (output.kind === "continuous") {
      const index = number++;
      return { ...output, low: output.range[0], high: output.range[1], accent: accent(index), mark: mark(index) };
    }
    const names = [...output.allowed];
    for (const take of live.state.takes ?? []) {
      const name = take.targets[output.name];
      if (name !== undefined && !names.includes(name)) names.push(name);
    }
    for (const name of output.classes) if (!names.includes(name)) names.push(name);
    const shown = names.map((name) => {
      const index = number++;
      return { name, index, accent: accent(index), mark: mark(index) };
    });
    return { ...output, shown };
  });
}

export function accent(index) {
  return ACCENTS[index % ACCENTS.length];
}

// Another one where the accent comes again: together they are of one class, up to 81.
export function mark(index) {
  return MARKS[(index + Math.floor(index / ACCENTS.length)) % MARKS.length];
}

// Accent and mark of one class of an output, or of a continuous output.
export function look(outputName, className) {
  const output = outputs().find((one) => one.name === outputName);
  if (!output) return { accent: "#e8ebef", mark: "●" };
  return (output.shown ? output.shown.find((one) => one.name === className) : output) ?? { accent: "#e8ebef", mark: "●" };
}
