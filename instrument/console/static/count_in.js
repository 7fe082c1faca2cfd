// Counts takes in, aloud and in large figures, whoever asked for them: this page, a pedal, or a command.
//
// A beep each second, a higher one when the take begins, a lower one when it has ended. Browsers let a page sound only
// after something in it was pressed.

import { live } from "./live.js";
import { make } from "./element.js";

let audio = null;
let scheduled = null; // the beeps that are still to come

// Makes the page able to beep; to be called when something is pressed.
export function readyToBeep() {
  if (!audio) {
    const context = new AudioContext({ latencyHint: "interactive" });
    const analyser = new AnalyserNode(context, { fftSize: 2048 });
    analyser.connect(context.destination);
    audio = { context, analyser };
  }
  audio.context.resume();
}

// How loud the beeps are now, 0..1.
export function beepLoudness() {
  if (!audio) return 0;
  const samples = new Float32Array(audio.analyser.fftSize);
  audio.analyser.getFloatTimeDomainData(samples);
  return Math.max(...samples.map(Math.abs));
}

function beeps(tones) {
  hush();
  if (audio?.context.state !== "running") return;
  const { context, analyser } = audio;
  const all = new GainNode(context, { gain: 0.25 });
  all.connect(analyser);
  for (const [in_s, frequency, length_s] of tones) {
    const at = context.currentTime + in_s;
    const tone = new OscillatorNode(context, { frequency });
    const gain = new GainNode(context, { gain: 0 });
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(1, at + 0.005);
    gain.gain.setValueAtTime(1, at + length_s - 0.02);
    gain.gain.linearRampToValueAtTime(0, at + length_s);
    tone.connect(gain).connect(all);
    tone.start(at);
    tone.stop(at + length_s);
  }
  scheduled = all;
}

function hush() {
  scheduled?.disconnect();
  scheduled = null;
}

// Begins to count in what is recorded; gives functions that end it.
export function countIn() {
  const figure = make("p", { class: "count-in", "aria-hidden": "true", hidden: true });
  document.body.append(figure);
  let phase = "idle";
  const hear = ([next, seconds] = ["idle", 0]) => {
    figure.hidden = next !== "count_in";
    figure.textContent = Math.ceil(seconds);
    if (next === phase) return;
    if (next === "count_in") {
      const whole = Math.ceil(seconds - 0.05);
      beeps([...Array(whole).keys()].map((each) => [Math.max(seconds - whole + each, 0), 880, 0.12]).concat([[seconds, 1320, 0.3]]));
    } else if (next === "idle") phase === "recording" ? beeps([[0, 660, 0.15], [0.2, 440, 0.25]]) : hush();
    phase = next;
  };
  window.addEventListener("pointerdown", readyToBeep);
  window.addEventListener("keydown", readyToBeep);
  return [
    () => figure.remove(),
    () => hush(),
    () => window.removeEventListener("pointerdown", readyToBeep),
    () => window.removeEventListener("keydown", readyToBeep),
    live.on("state", ({ name, value }) => name === "recording" && hear(value)),
    live.on("link", () => hear(["idle", 0])),
  ];
}
