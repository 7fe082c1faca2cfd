// <instrument-scene-name>: the scene that plays, in the bar of every page; its keys recall scenes, but where they record.

import { live } from "./live.js";
import { define, isTyping, make } from "./element.js";

define("scene-name", (element) => {
  const name = make("span");
  element.append(name);
  const show = () => {
    const playing = (live.state.scenes ?? []).find((one) => one.is_current);
    name.textContent = playing?.name ?? "";
    element.hidden = !playing;
  };
  const onKeyDown = (event) => {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event.target)) return;
    if (document.querySelector("instrument-class-cards")) return;
    const scene = (live.state.scenes ?? []).find((one) => one.key && one.key === event.key.toLowerCase());
    if (!scene) return;
    event.preventDefault();
    live.ask("/instrument/scene/recall", scene.name).catch((error) => console.warn(error.message));
  };
  window.addEventListener("keydown", onKeyDown);
  show();
  return [() => window.removeEventListener("keydown", onKeyDown), live.on("state", ({ name: changed }) => changed === "scenes" && show())];
});
