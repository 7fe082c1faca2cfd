// The page's own voice: what routes send to the destination `page` becomes sound.
//
//   OSC   /chord NAME or N     a chord of the scale held: classes in the order of their output, or the Nth degree; none ends it
//         /pitch NOTE          plucks the nearest note of the chord, or of the scale, whenever that changes (MIDI note numbers)
//         /note NOTE           holds a note, moved to the scale; /note 0 ends it
//         /filter 0..1         dark to bright        /level 0..1   how loud
//         /kick /snare /hat    a drum, whenever the value rises above 0.5
//   MIDI  notes on any channel, drums on channel 10; controllers 74 filter and 7 level; program change: a chord
//
// Nothing sounds before `begin()`, which browsers allow after a press of a button or key only.

import { live } from "./live.js";
import { outputs } from "./accents.js";

export const SCALES = {
  major: [0, 2, 4, 5, 7, 9, 11],
  minor: [0, 2, 3, 5, 7, 8, 10],
  dorian: [0, 2, 3, 5, 7, 9, 10],
  pentatonic: [0, 2, 4, 7, 9],
  chromatic: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
};
export const ROOTS = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];
const DEGREES = [0, 4, 5, 3, 1, 2, 6]; // the order in which classes take chords: I V vi IV ii iii vii
const DRUMS = { 35: "kick", 36: "kick", 38: "snare", 40: "snare", 37: "snare", 39: "snare" };
const LEVEL = 0.5;

export const settings = { scale: "major", root: 9, volume: 0.7, ...JSON.parse(localStorage.getItem("instrument-voice") ?? "{}") };
if (!SCALES[settings.scale]) settings.scale = "major";

let audio = null; // what `begin` makes
const held = new Map(); // sounding notes: key -> {stop}
let chord = null; // degree
let filter = 0.5;
let level = 1;
let heldNote = null;
let plucked = null;
const drumLevels = new Map();

export const isOn = () => audio !== null && audio.context.state === "running" && !audio.isMuted;

// Whether some route of the patch goes to the page.
export const isRouted = () => (live.state.routes ?? []).some((route) => route.destination === "page");

export async function begin() {
  audio ??= build(new AudioContext({ latencyHint: "interactive" }));
  await audio.context.resume();
  audio.isMuted = false;
  applySettings();
  if (chord !== null) playChord(chord, true);
}

export function end() {
  if (!audio) return;
  releaseAll();
  audio.isMuted = true;
  audio.out.gain.setTargetAtTime(0, audio.context.currentTime, 0.05);
}

export function applySettings() {
  localStorage.setItem("instrument-voice", JSON.stringify(settings));
  if (!audio || audio.isMuted) return;
  audio.out.gain.setTargetAtTime(LEVEL * settings.volume * level, audio.context.currentTime, 0.03);
  audio.filter.frequency.setTargetAtTime(180 * 2 ** (filter * 5.6), audio.context.currentTime, 0.03);
}

// How loud it is now: root mean square, 0..1.
export function loudness() {
  if (!audio) return 0;
  audio.analyser.getFloatTimeDomainData(audio.samples);
  return Math.sqrt(audio.samples.reduce((sum, one) => sum + one * one, 0) / audio.samples.length);
}

function build(context) {
  const filterNode = new BiquadFilterNode(context, { type: "lowpass", Q: 3, frequency: 900 });
  const dry = new GainNode(context);
  const delay = new DelayNode(context, { delayTime: 0.31, maxDelayTime: 1 });
  const feedback = new GainNode(context, { gain: 0.32 });
  const wet = new GainNode(context, { gain: 0.28 });
  const out = new GainNode(context, { gain: 0 });
  const limiter = new DynamicsCompressorNode(context, { threshold: -14, ratio: 8 });
  const analyser = new AnalyserNode(context, { fftSize: 2048 });
  filterNode.connect(dry);
  dry.connect(out);
  dry.connect(delay).connect(feedback).connect(delay);
  delay.connect(wet).connect(out);
  out.connect(limiter).connect(analyser).connect(context.destination);
  const noise = new AudioBuffer({ length: context.sampleRate, sampleRate: context.sampleRate });
  const samples = noise.getChannelData(0);
  for (let at = 0; at < samples.length; at++) samples[at] = Math.random() * 2 - 1;
  return { context, filter: filterNode, drums: dry, out, analyser, noise, samples: new Float32Array(2048), isMuted: false };
}

const frequency = (note) => 440 * 2 ** ((note - 69) / 12);

// A note that sounds until its stop() is called; with `decay` it dies away by itself.
function startNote(note, { loud = 0.2, attack = 0.03, release = 0.35, decay = 0 } = {}) {
  const { context } = audio;
  const now = context.currentTime;
  const gain = new GainNode(context, { gain: 0 });
  gain.gain.linearRampToValueAtTime(loud, now + attack);
  const voices = [
    new OscillatorNode(context, { type: "sawtooth", frequency: frequency(note), detune: -5 }),
    new OscillatorNode(context, { type: "sawtooth", frequency: frequency(note), detune: 6 }),
    new OscillatorNode(context, { type: "triangle", frequency: frequency(note - 12) }),
  ];
  gain.connect(audio.filter);
  for (const one of voices) {
    one.connect(gain);
    one.start(now);
  }
  voices[0].onended = () => gain.disconnect();
  const stop = () => {
    const at = context.currentTime;
    gain.gain.cancelScheduledValues(at);
    gain.gain.setTargetAtTime(0, at, release / 3);
    for (const one of voices) one.stop(at + release * 2);
  };
  if (!decay) return { stop };
  gain.gain.setTargetAtTime(0, now + attack, decay / 3);
  for (const one of voices) one.stop(now + decay * 2);
  return { stop: () => {} };
}

function hold(key, note, options) {
  held.get(key)?.stop();
  held.set(key, startNote(note, options));
}

function release(key) {
  held.get(key)?.stop();
  held.delete(key);
}

export function releaseAll() {
  for (const key of [...held.keys()]) release(key);
  heldNote = plucked = null;
}

function drum(name) {
  if (!isOn()) return;
  const { context, drums, noise } = audio;
  const now = context.currentTime;
  const gain = new GainNode(context, { gain: 0.9 });
  gain.connect(drums);
  if (name === "kick") {
    const tone = new OscillatorNode(context, { frequency: 150 });
    tone.frequency.exponentialRampToValueAtTime(45, now + 0.12);
    gain.gain.exponentialRampToValueAtTime(0.001, now + 0.35);
    tone.connect(gain);
    tone.start(now);
    tone.stop(now + 0.36);
    return;
  }
  const length = name === "snare" ? 0.18 : 0.06;
  const hiss = new AudioBufferSourceNode(context, { buffer: noise });
  const band = new BiquadFilterNode(context, { type: "highpass", frequency: name === "snare" ? 1200 : 7000 });
  gain.gain.setValueAtTime(name === "snare" ? 0.5 : 0.3, now);
  gain.gain.exponentialRampToValueAtTime(0.001, now + length);
  hiss.connect(band).connect(gain);
  hiss.start(now, Math.random() * 0.5, length);
}

// The note of a scale's degree; degrees go on above and below the octave.
function degreeNote(degree, base = 48) {
  const scale = SCALES[settings.scale];
  const octave = Math.floor(degree / scale.length);
  return base + settings.root + 12 * octave + scale[degree - octave * scale.length];
}

const chordDegrees = (degree) => [degree, degree + 2, degree + 4];

function nearest(note, classes) {
  const wanted = new Set(classes.map((one) => ((one % 12) + 12) % 12));
  for (let away = 0; away < 12; away++) {
    for (const one of [Math.round(note) - away, Math.round(note) + away]) if (wanted.has(((one % 12) + 12) % 12)) return one;
  }
  return Math.round(note);
}

function allowedNotes(ofChord) {
  const degrees = ofChord && chord !== null ? chordDegrees(chord) : SCALES[settings.scale].map((_, index) => index);
  return degrees.map((degree) => degreeNote(degree, 0));
}

function playChord(degree, isAgain = false) {
  if (degree === chord && !isAgain) return;
  chord = degree;
  if (!isOn()) return;
  for (const key of [...held.keys()]) if (key.startsWith("chord")) release(key);
  if (degree === null) return;
  chordDegrees(degree).forEach((one, index) => hold(`chord ${index}`, degreeNote(one, 48 - 12 * (settings.root > 5)), { loud: 0.13, attack: 0.08, release: 0.6 }));
  hold("chord bass", degreeNote(degree, 36 - 12 * (settings.root > 5)), { loud: 0.16, attack: 0.05, release: 0.5 });
}

function chordOf(value) {
  if (value === "none") return null;
  if (typeof value === "number") return value >= 0 ? Math.round(value) : null;
  const output = outputs().find((one) => one.shown?.some((each) => each.name === value));
  const place = output ? output.shown.findIndex((one) => one.name === value) : 0;
  return DEGREES[place % DEGREES.length];
}

const ADDRESSES = {
  "/chord": ([value]) => playChord(chordOf(value)),
  "/pitch": ([value]) => {
    const note = nearest(value, allowedNotes(true));
    if (note === plucked) return;
    const isFirst = plucked === null;
    plucked = note;
    if (isOn() && !isFirst) startNote(note, { loud: 0.24, attack: 0.008, decay: 0.7 });
  },
  "/note": ([value]) => {
    const note = value > 0 ? nearest(value, allowedNotes(false)) : null;
    if (note === heldNote) return;
    heldNote = note;
    if (note === null) release("note");
    else if (isOn()) hold("note", note);
  },
  "/filter": ([value]) => {
    filter = clamp(value);
    applySettings();
  },
  "/level": ([value]) => {
    level = clamp(value);
    applySettings();
  },
};
for (const name of ["kick", "snare", "hat"]) {
  ADDRESSES[`/${name}`] = (values) => {
    const value = Number(values[values.length - 1] ?? 1);
    if (value > 0.5 && !(drumLevels.get(name) > 0.5)) drum(name);
    drumLevels.set(name, value);
  };
}

function midi(status, first, second) {
  const kind = status & 0xf0;
  const channel = status & 0x0f;
  const key = `midi ${channel} ${first}`;
  if (kind === 0x90 && second > 0) {
    if (channel === 9) drum(DRUMS[first] ?? "hat");
    else if (isOn()) hold(key, first, { loud: (0.22 * second) / 127 });
  } else if (kind === 0x80 || kind === 0x90) release(key);
  else if (kind === 0xb0 && first === 74) ADDRESSES["/filter"]([second / 127]);
  else if (kind === 0xb0 && first === 7) ADDRESSES["/level"]([second / 127]);
  else if (kind === 0xb0 && first === 123) releaseAll();
  else if (kind === 0xc0) playChord(first);
}

function clamp(value) {
  return Math.min(Math.max(Number(value) || 0, 0), 1);
}

function take(controls) {
  for (const [destination, first, ...rest] of controls) {
    if (destination !== "page") continue;
    if (typeof first === "number") midi(first, ...rest);
    else ADDRESSES[first]?.(rest);
  }
}

function silence() {
  chord = null;
  if (audio) releaseAll();
}

live.on("frame", ({ controls }) => take(controls));
live.on("controls", take);
live.on("link", (isThere) => isThere || silence());
live.on("state", ({ name, value }) => {
  if (name === "engine" && value !== "here") silence();
  if (name === "status" && !value.running) silence();
});
