import { define } from "./element.js";

define("sound-button", () => []);
