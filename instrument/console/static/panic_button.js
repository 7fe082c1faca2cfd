// <instrument-panic-button>: silence, and back.

import { live, t } from "./live.js";
import { define, make, onKey } from "./element.js";

define("panic-button", (element) => {
  const button = make("button", { class: "panic" });
  element.append(button);
  const isRunning = () => live.state.status?.running ?? true;
  const show = () => {
    button.textContent = t(isRunning() ? "panic" : "resume");
    button.title = t(isRunning() ? "panic_about" : "resume_about");
    button.dataset.running = isRunning() ? "yes" : "no";
  };
  const ask = (...command) => live.ask(...command).catch((error) => console.warn(error.message));
  button.onclick = () => (isRunning() ? ask("/instrument/panic") : ask("/instrument/run", 1));
  show();
  return [live.on("state", show), onKey(".", () => ask("/instrument/panic"))];
});
