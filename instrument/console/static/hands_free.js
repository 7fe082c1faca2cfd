// Recording without holding anything: a count-in, a take that ends by itself, and again as often as is wanted.

import { live, t } from "./live.js";
import { make } from "./element.js";
import { countIn } from "./count_in.js";
import { restWatch } from "./rest_watch.js";

const KEPT = "instrument-hands-free";
const LIMITS = { count_in: [0, 30], length: [0.5, 60], times: [1, 50] };

// `say(text, isBad)` says how it goes; a card is {name, pairs(), button, time}.
export function handsFree(say) {
  const settings = { on: false, count_in: 3, length: 3, times: 1, until_rest: false, ...JSON.parse(localStorage.getItem(KEPT) ?? "{}") };
  const save = () => localStorage.setItem(KEPT, JSON.stringify(settings));
  const field = (name) => {
    const [min, max] = LIMITS[name];
    const input = make("input", { type: "number", min, max, step: name === "times" ? 1 : 0.5, value: settings[name] });
    input.addEventListener("change", () => {
      settings[name] = Math.min(Math.max(Number(input.value) || min, min), max);
      if (name === "times") settings.times = Math.round(settings.times);
      input.value = settings[name];
      save();
    });
    return make("label", {}, t(`hands_free_${name}`), input);
  };
  const box = make("input", { type: "checkbox" });
  box.checked = settings.until_rest;
  box.addEventListener("change", () => {
    settings.until_rest = box.checked;
    save();
  });
  const options = make(
    "div",
    { class: "hands-free-options" },
    field("count_in"),
    field("length"),
    field("times"),
    make("label", { title: t("hands_free_rest_about") }, box, t("hands_free_rest")),
  );
  const button = make("button", { title: t("hands_free_about") }, t("hands_free"));
  const stopping = make("button", { class: "hands-free-stop", hidden: true }, t("hands_free_stop"));
  const element = make("div", { class: "hands-free", role: "group", "aria-label": t("hands_free_about") }, button, options, stopping);
  const show = () => {
    button.setAttribute("aria-pressed", String(settings.on));
    options.hidden = !settings.on;
    stopping.hidden = !series;
  };
  button.onclick = () => {
    settings.on = !settings.on;
    save();
    show();
    say(t(settings.on ? "cards_how_hands_free" : "cards_how"));
  };

  let series = null; // {card, isOver, watch, isEnding}
  const begin = async (card, times = settings.times) => {
    if (series) return stop();
    const mine = { card, isOver: false, watch: settings.until_rest ? restWatch() : null, isEnding: false };
    series = mine;
    show();
    let kept = 0;
    let trouble = "";
    for (let number = 1; number <= times && !mine.isOver; number++) {
      say(t("hands_free_take", { number, times, what: card.says() }));
      mine.watch?.again();
      mine.isEnding = false;
      const begunAt = performance.now();
      try {
        const [take, frames] = await live.ask("/instrument/record/timed", settings.count_in, settings.length, ...card.pairs());
        kept += 1;
        const cut = mine.isEnding ? mine.watch.framesOfWayBack() : 0;
        if (cut > 0 && cut < frames - 1) await live.ask("/instrument/takes/trim", take, 0, frames - 1 - cut);
      } catch (error) {
        trouble = error.message;
        if (performance.now() - begunAt < settings.count_in * 1000) break; // it was not even begun
      }
    }
    series = null;
    mark(card, "idle", 0);
    show();
    if (mine.isOver) say(t("hands_free_stopped", { kept }));
    else say([t("hands_free_done", { kept, what: card.says() }), trouble].filter(Boolean).join(". "), Boolean(trouble));
  };
  const stop = () => {
    if (!series) return;
    series.isOver = true;
    live.ask("/instrument/record/stop").catch(() => {});
  };
  stopping.onclick = stop;
  const mark = (card, phase, seconds) => {
    card.button.classList.toggle("recording", phase === "recording");
    card.button.classList.toggle("counting", phase === "count_in");
    card.time.textContent = phase === "idle" ? "" : `${seconds.toFixed(1)} s`;
  };
  const onKey = (event) => event.key === "Escape" && stop();
  window.addEventListener("keydown", onKey);
  show();
  return {
    element,
    begin,
    get isOn() {
      return settings.on;
    },
    get isBusy() {
      return series !== null;
    },
    endings: [
      ...countIn(),
      stop,
      () => window.removeEventListener("keydown", onKey),
      live.on("state", ({ name, value }) => name === "recording" && series && mark(series.card, ...value)),
      live.on("frame", (moving) => {
        const watch = series?.watch;
        const phase = live.state.recording?.[0];
        if (!watch) return;
        if (phase === "count_in") watch.begin(moving);
        else if (phase === "recording" && watch.isBack(moving) && !series.isEnding) {
          series.isEnding = true;
          live.ask("/instrument/record/stop").catch(() => {});
        }
      }),
    ],
  };
}
