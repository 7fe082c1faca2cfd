// <instrument-project-name>: the name of the patch that is played.

import { live } from "./live.js";
import { define, make } from "./element.js";

define("project-name", (element) => {
  const name = make("span");
  element.append(name);
  const show = () => {
    name.textContent = live.state.status?.patch ?? "";
    element.title = live.state.status?.project ?? "";
  };
  show();
  return [live.on("state", show)];
});
