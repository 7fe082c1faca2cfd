// <instrument-vitals>: latency, frame rate, tracking, and where messages go, with a light for each that flashes.

import { live, t } from "./live.js";
import { define, make } from "./element.js";

const TRACKED_OVER = 150; // frames
const SHOWN_EVERY_MS = 500;
const LIT_MS = 120;

define("vitals", (element) => {
  element.classList.add("panel");
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", t("vitals"));
  const figure = (name) => {
    const number = make("b");
    const unit = make("small");
    element.append(make("div", { class: "vital" }, make("h2", {}, t(`vital_${name}`)), make("p", {}, number, unit)));
    return (value, unitText) => {
      if (number.textContent !== value) number.textContent = value;
      if (unit.textContent !== unitText) unit.textContent = unitText;
    };
  };
  const latency = figure("latency");
  const rate = figure("rate");
  const tracking = figure("tracking");
  const destinations = make("div", { class: "vital-destinations" });
  element.append(destinations);
  const lights = new Map();
  const tracked = [];
  const frameTimes = [];
  let shownAt = performance.now();

  const showDestinations = () => {
    const there = Object.entries(live.state.status?.destinations ?? {});
    if (there.map(([name]) => name).join() !== [...lights.keys()].join()) {
      lights.clear();
      destinations.replaceChildren(
        ...there.map(([name]) => {
          const dot = make("i", { class: "light", "aria-hidden": "true" });
          const text = make("span");
          const row = make("p", {}, dot, make("b", {}, name), text);
          lights.set(name, { dot, text, row });
          return row;
        }),
      );
    }
    for (const [name, one] of there) {
      const { text, row } = lights.get(name);
      row.title = [one.to, one.reason].filter(Boolean).join(": ");
      row.classList.toggle("trouble", Boolean(one.reason));
      text.textContent = row.title;
    }
  };

  const show = (now) => {
    shownAt = now;
    const share = tracked.reduce((sum, one) => sum + one, 0) / Math.max(tracked.length, 1);
    tracking(String(Math.round(share * 100)), t("unit_percent"));
    const span = frameTimes[frameTimes.length - 1] - frameTimes[0];
    rate(span > 0 ? (((frameTimes.length - 1) / span) * 1000).toFixed(0) : "0", t("unit_rate"));
    const total = live.state.latency?.total;
    latency(total ? total[0].toFixed(0) : "–", t("unit_ms"));
  };

  const count = (controls) => {
    for (const [destination] of controls) {
      const light = lights.get(destination);
      if (light) light.sentAt = performance.now();
    }
  };
  showDestinations();
  return [
    live.on("state", ({ name }) => {
      if (name === "status") showDestinations();
      if (name === "engine" && live.state.engine !== "here") {
        tracked.length = frameTimes.length = 0;
        show(performance.now());
      }
    }),
    live.on("controls", count),
    live.on("frame", (moving) => {
      const now = performance.now();
      count(moving.controls);
      tracked.push(Number(moving.tracked));
      frameTimes.push(now);
      if (tracked.length > TRACKED_OVER) tracked.shift();
      if (frameTimes.length > 60) frameTimes.shift();
      for (const light of lights.values()) light.dot.classList.toggle("lit", now - light.sentAt < LIT_MS);
      if (now - shownAt > SHOWN_EVERY_MS) show(now);
    }),
  ];
});
