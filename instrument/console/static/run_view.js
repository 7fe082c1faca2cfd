// <instrument-run-view>: the skeleton at the playhead, what is said there, and playing it back; while there is nothing
// to look through, the camera.

import "./camera_view.js";
import { live, t } from "./live.js";
import { define, drawer, make, onKey, sharpCanvas } from "./element.js";
import { look } from "./accents.js";
import { drawSkeleton } from "./skeleton.js";
import { clock, nameAt, run, valueAt } from "./run_through.js";

define("run-view", (element) => {
  const { canvas, fit } = sharpCanvas({ role: "img" });
  const note = make("p", { class: "camera-note" });
  const said = make("div", { class: "run-said" });
  const play = make("button", { class: "run-play", title: t("run_play_about"), onclick: () => toggle() }, t("run_play"));
  const time = make("span", { class: "run-time" });
  element.append(canvas, note, said, make("div", { class: "run-transport" }, play, time));
  const camera = make("instrument-camera-view", { mirrored: true });
  const toggle = () => run.take && run.play(!run.isPlaying);

  const draw = drawer(() => {
    const { context, width, height } = fit();
    context.clearRect(0, 0, width, height);
    const frame = run.frame();
    const isThere = frame && (frame.pose || frame.left_hand || frame.right_hand || frame.numbers);
    note.hidden = Boolean(isThere) || (run.take && !frame);
    const isRecording = (live.state.recording?.[0] ?? "idle") !== "idle";
    if ((isRecording || !run.take) !== camera.isConnected) camera.isConnected ? camera.remove() : canvas.after(camera);
    note.textContent = t(run.take ? "run_view_nobody" : isRecording ? "run_view_recording" : "run_view_none");
    play.hidden = !run.take;
    play.textContent = t(run.isPlaying ? "run_pause" : "run_play");
    time.textContent = run.take ? `${clock(run.at)} / ${clock(run.take.seconds)}` : "";
    canvas.setAttribute("aria-label", t("run_view", { time: clock(run.at) }));
    words();
    if (!isThere) return;
    if (frame.numbers) return bars(context, width, height, frame.numbers);
    const [left, top, right, bottom] = run.box ?? [0, 0, 1, 1];
    const scale = Math.min((0.9 * width) / ((right - left) * frame.aspect), (height - 110) / (bottom - top || 1));
    const place = (x, y) => [
      width / 2 + (x - (left + right) / 2) * frame.aspect * scale,
      (height - 70) / 2 + (y - (top + bottom) / 2) * scale, // above the buttons
    ];
    const first = run.along?.outputs.find((one) => one.now?.spans);
    const name = first && nameAt(first.now.spans, run.at);
    const colour = name && name !== "none" ? look(first.name, name).accent : "#e8ebef";
    drawSkeleton(context, frame, place, { colour, size: Math.max(3, height / 110) });
  });

  const words = () => {
    const rows = (run.along?.outputs ?? []).filter((one) => one.now && !one.now.reason);
    said.replaceChildren(
      ...rows.map((output) => {
        const [now, before] = [output.now, output.before].map((one) => one && !one.reason && shownAt(output, one));
        const line = make("p", { style: `--accent: ${now.accent}` }, make("span", {}, output.name), make("b", {}, now.text));
        if (before && before.text !== now.text) line.append(make("small", { style: `--accent: ${before.accent}` }, `${t("run_before")} `, make("i", {}, before.text)));
        return line;
      }),
    );
  };
  const redraw = () => draw();
  const watch = new ResizeObserver(redraw);
  watch.observe(element);
  draw();
  return [
    () => watch.disconnect(),
    () => run.play(false),
    onKey(" ", (event) => (event.target.matches?.("button") ? event.target.click() : toggle())),
    ...["take", "at", "along", "play"].map((name) => run.on(name, redraw)),
    live.on("state", ({ name }) => name === "recording" && redraw()),
  ];
});

// What an output says at the playhead: its text with a mark, and its accent.
export function shownAt(output, one) {
  if (one.curve) {
    const value = valueAt(one.curve, run.at);
    const { accent, mark } = look(output.name);
    return { text: value == null ? t("run_nobody") : `${mark} ${value.toFixed(2)}`, accent };
  }
  const name = nameAt(one.spans, run.at);
  if (name == null) return { text: t("run_nobody"), accent: "var(--muted)" };
  if (name === "none") return { text: t("run_none"), accent: "var(--muted)" };
  const { accent, mark } = look(output.name, name);
  return { text: `${mark} ${name}`, accent };
}

function bars(context, width, height, numbers) {
  const most = Math.max(1, ...numbers.map(Math.abs));
  const each = width / numbers.length;
  context.fillStyle = "#e8ebef";
  numbers.forEach((value, index) => {
    const size = (value / most) * (height / 2 - 60);
    context.fillRect(each * (index + 0.2), height / 2 - Math.max(size, 0), each * 0.6, Math.max(Math.abs(size), 2));
  });
}
