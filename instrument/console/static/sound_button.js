// <instrument-sound-button>: turns the page's own voice on, and sets its scale, root and volume.

import { live, t } from "./live.js";
import { define, make, onKey } from "./element.js";
import { applySettings, begin, end, isOn, isRouted, loudness, ROOTS, SCALES, settings } from "./voice.js";

define("sound-button", (element) => {
  const button = make("button", { class: "sound" });
  const choose = (name, options, value) => {
    const select = make("select", { "aria-label": t(`voice_${name}`) }, ...options.map(([key, text]) => make("option", { value: key }, text)));
    select.value = value;
    return select;
  };
  const root = choose("root", ROOTS.map((text, index) => [index, text]), settings.root);
  const scale = choose("scale", Object.keys(SCALES).map((name) => [name, t(`scale_${name}`)]), settings.scale);
  const volume = make("input", { type: "range", min: 0, max: 1, step: 0.01, "aria-label": t("voice_volume") });
  volume.value = settings.volume;
  const more = make("div", { class: "sound-more" }, root, scale, volume);
  element.append(button, more);
  const set = (name, value) => {
    settings[name] = value;
    applySettings();
  };
  root.onchange = () => set("root", Number(root.value));
  scale.onchange = () => set("scale", scale.value);
  volume.oninput = () => set("volume", Number(volume.value));

  let wanted = localStorage.getItem("instrument-sound") === "on";
  const show = () => {
    const routed = isRouted();
    button.disabled = !routed;
    button.textContent = t(isOn() ? "sound_off" : "sound_on");
    button.title = t(routed ? "sound_about" : "sound_none");
    button.dataset.sound = isOn() ? "on" : routed ? "wanted" : "none";
    more.hidden = !isOn();
  };
  const turn = async (on) => {
    wanted = on;
    localStorage.setItem("instrument-sound", on ? "on" : "off");
    on ? await begin() : end();
    show();
  };
  button.onclick = () => turn(!isOn());
  // It was on before the page was loaded anew: the first press of anything lets it begin again.
  const again = () => wanted && isRouted() && !isOn() && begin().then(show);
  window.addEventListener("pointerdown", again);
  window.addEventListener("keydown", again);
  element.loudness = loudness;
  show();
  return [
    () => window.removeEventListener("pointerdown", again),
    () => window.removeEventListener("keydown", again),
    onKey("s", () => isRouted() && turn(!isOn())),
    live.on("state", ({ name }) => name === "routes" && show()),
  ];
});
