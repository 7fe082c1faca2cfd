// <instrument-camera-view [mirrored] [blind] [buttons]>: the picture with the skeleton that was found in that very frame.

import { live, t } from "./live.js";
import { define, drawer, make, onKey, sharpCanvas } from "./element.js";
import { look } from "./accents.js";
import { drawSkeleton } from "./skeleton.js";

const KEPT_SKELETONS = 12;

define("camera-view", (element) => {
  const remembered = JSON.parse(localStorage.getItem("instrument-camera") ?? "{}");
  const view = { mirrored: element.hasAttribute("mirrored"), blind: element.hasAttribute("blind"), ...remembered };
  const { canvas, fit } = sharpCanvas({ role: "img", "aria-label": t("camera_about") });
  const note = make("p", { class: "camera-note" }, t("camera_waiting"));
  element.append(canvas, note);

  const picture = new OffscreenCanvas(16, 9);
  const pictureContext = picture.getContext("2d");
  const skeletons = new Map();
  let hasPicture = false;
  let aspect = 16 / 9;
  let shown = {}; // the skeleton drawn
  let newest = {};
  let colour = "#e8ebef";
  let playback = null; // a take that is played in the camera's place: {take, parts, aspect, colour}
  let enough = () => {};

  const draw = drawer(() => {
    const { context, width, height } = fit();
    context.clearRect(0, 0, width, height);
    const shape = playback?.aspect ?? aspect;
    const scale = Math.min(width / shape, height);
    const shownWidth = scale * shape;
    const left = (width - shownWidth) / 2;
    const top = (height - scale) / 2;
    context.save();
    if (view.mirrored) {
      context.translate(width, 0);
      context.scale(-1, 1);
    }
    if (!view.blind && hasPicture && !playback) context.drawImage(picture, left, top, shownWidth, scale);
    const parts = playback?.parts ?? (view.blind || !hasPicture ? newest : shown);
    const size = Math.max(2.5, scale / 110);
    context.lineWidth = size;
    drawSkeleton(context, parts, (x, y) => [left + x * shownWidth, top + y * scale], { colour: playback?.colour ?? colour, size });
    context.restore();
    element.dataset.tracked = newest.pose || newest.left_hand || newest.right_hand ? "yes" : "no";
  });

  const badge = make("p", { class: "camera-badge", hidden: true });
  element.append(badge);
  const onPlayback = ({ detail }) => {
    playback = detail;
    badge.hidden = !playback;
    if (playback) {
      badge.textContent = t("camera_playback", { take: playback.take });
      setNote("");
    }
    draw();
  };
  window.addEventListener("instrument-playback", onPlayback);

  const setNote = (text) => {
    if (note.textContent !== text) note.textContent = text;
    note.hidden = !text;
  };

  const apply = () => {
    enough();
    enough = live.wants("landmarks", ...(view.blind ? [] : ["preview"]));
    hasPicture &&= !view.blind;
    localStorage.setItem("instrument-camera", JSON.stringify(view));
    for (const [name, button] of Object.entries(toggles)) button.setAttribute("aria-pressed", view[name]);
    draw();
  };
  const toggles = {};
  const endings = [];
  if (element.hasAttribute("buttons")) {
    const bar = make("div", { class: "camera-buttons", role: "group" });
    const toggle = (name, text, key) => {
      const flip = () => {
        view[name] = !view[name];
        apply();
      };
      toggles[name] = make("button", { class: "quiet", title: t(`${text}_about`), onclick: flip }, t(text));
      bar.append(toggles[name]);
      endings.push(onKey(key, flip));
    };
    toggle("mirrored", "mirror", "m");
    toggle("blind", "blind", "b");
    const fill = () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen());
    bar.append(make("button", { class: "quiet", title: t("fullscreen_about"), onclick: fill }, t("fullscreen")));
    endings.push(onKey("f", fill));
    element.append(bar);
  }
  apply();

  const resized = new ResizeObserver(draw);
  resized.observe(canvas);
  return [
    ...endings,
    () => enough(),
    () => window.removeEventListener("instrument-playback", onPlayback),
    () => resized.disconnect(),
    live.on("state", ({ name }) => {
      if (name === "status" && newest.number === undefined && live.state.status.listen?.is_numbers) setNote(t("camera_no_picture"));
    }),
    live.on("frame", (moving) => {
      newest = moving;
      skeletons.set(moving.number, moving);
      if (skeletons.size > KEPT_SKELETONS) skeletons.delete(skeletons.keys().next().value);
      const said = Object.entries(moving.predictions).find(([, values]) => typeof values[0] === "string" && values[0] !== "none");
      colour = said ? look(said[0], said[1][0]).accent : "#e8ebef";
      setNote(moving.tracked || playback ? "" : t(live.state.status?.listen?.is_numbers ? "camera_no_picture" : "camera_nobody"));
      if (view.blind || !hasPicture) draw();
    }),
    live.on("picture", ({ number, bitmap }) => {
      if (view.blind) return;
      if (picture.width !== bitmap.width || picture.height !== bitmap.height) {
        picture.width = bitmap.width;
        picture.height = bitmap.height;
        aspect = bitmap.width / bitmap.height;
      }
      pictureContext.drawImage(bitmap, 0, 0);
      hasPicture = true;
      shown = skeletons.get(number) ?? newest;
      draw();
    }),
  ];
});
