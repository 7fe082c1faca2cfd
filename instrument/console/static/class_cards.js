// <instrument-class-cards [output]>: hold a card, or its key, and what is seen meanwhile is recorded for that class.
//
// A press shorter than a blink holds the card for you: press again, or Escape, to end it.

import { live, t } from "./live.js";
import { define, isTyping, make } from "./element.js";
import { look, outputs } from "./accents.js";
import { handsFree } from "./hands_free.js";
import { newOutput } from "./new_output.js";
import { valueCards, valueTargets } from "./value_cards.js";

const TAP_MS = 250;
const KEPT_MS = 500;

define("class-cards", (element) => {
  element.classList.add("panel");
  const groups = make("div", { class: "card-groups" });
  const said = make("p", { class: "card-said", role: "status" }, t("cards_how"));
  const say = (text, isBad = false) => {
    said.textContent = text;
    said.classList.toggle("bad", isBad);
  };
  const free = handsFree(say);
  if (free.isOn) say(t("cards_how_hands_free"));
  element.append(make("div", { class: "cards-top" }, said, free.element), groups);
  const more = newOutput(say);
  if (!element.hasAttribute("output")) element.append(more.element);
  let cards = [];
  let described = "";
  let held = null; // {card, key, since, isLatched, started, number}; the number is that of the recording, once it has begun
  let isDown = false; // whether a card, or its key, is being pressed
  let presses = 0;
  let ending = null; // what the last take comes to, while that is not known
  const targets = valueTargets();
  let values = null; // the cards of continuous outputs

  const begin = (card) => {
    if (held) return;
    const pairs = card.pairs();
    held = { card, key: card.key, what: card.says(), since: performance.now(), isLatched: false, started: live.ask("/instrument/record", ...pairs) };
    const mine = held;
    hold(card);
    say(t("cards_recording", { what: held.what }));
    mine.started.then(
      ([, number]) => (mine.number = number),
      (error) => {
        if (held === mine) held = null;
        let_go(mine.card);
        say(error.message, true);
      },
    );
  };

  const hold = (card) => {
    card.button.classList.add("recording");
    card.button.setAttribute("aria-pressed", "true");
  };

  const let_go = (card) => {
    card.button.classList.remove("recording");
    card.button.setAttribute("aria-pressed", "false");
    card.time.textContent = "";
  };

  const end = () => {
    if (!held) return;
    const mine = held;
    held = null;
    let_go(mine.card);
    const whole = finish(mine).finally(() => {
      if (ending === whole) ending = null;
    });
    ending = whole;
  };

  const finish = async ({ started, what }) => {
    const sayUnlessHeld = (text) => held || say(text); // how the next one is ended is more important
    try {
      const [, number] = await started;
      sayUnlessHeld(t("cards_saving"));
      const [take, frames] = await live.ask("/instrument/record/stop", number);
      sayUnlessHeld(t("cards_recorded", { take, frames, what }));
    } catch (error) {
      say(error.message, true);
    }
  };

  const latch = () => {
    held.isLatched = true;
    say(t("cards_latched", { what: held.what }));
  };

  const release = () => {
    isDown = false;
    if (!held || held.isLatched) return;
    if (performance.now() - held.since < TAP_MS) latch();
    else end();
  };

  const press = async (card) => {
    isDown = true;
    const mine = ++presses;
    if (free.isBusy || (free.isOn && !held)) return free.begin(card);
    if (held && !held.isLatched) return;
    const isSame = held?.card === card;
    end();
    if (isSame) return;
    // Of presses that come faster than takes are kept, the last one counts; what a full disk holds up is not waited for.
    if (ending) await Promise.race([ending, new Promise((done) => setTimeout(done, KEPT_MS))]);
    if (mine !== presses || held) return;
    begin(nowOf(card));
    if (!isDown) latch();
  };

  // Elsewhere in the page somebody wants a take of a class: with a count-in, whatever else is set.
  const onWanted = ({ detail: [output, target] }) => {
    const card = cards.find((one) => one.output === output && (one.isContinuous || one.name === target));
    if (!card || held || free.isBusy) return;
    if (card.isContinuous) targets.set(output, target);
    card.button.scrollIntoView({ block: "nearest" });
    free.begin(card, 1);
  };
  window.addEventListener("instrument-record", onWanted);

  // The card of today for what that one stands for: they are made anew whenever outputs or classes change.
  const nowOf = (card) => cards.find((one) => one.output === card.output && one.name === card.name) ?? card;

  // `pairs()` is what it records; {isContinuous, output} say what it stands for.
  const cardOf = (name, { accent, mark }, pairs, about = {}) => {
    const says = about.isContinuous ? () => pairs().map(plain).join(" ") : () => name;
    const key = cards.length < 9 ? String(cards.length + 1) : undefined;
    const takes = make("span", { class: "card-takes" });
    const time = make("span", { class: "card-time" });
    const button = make(
      "button",
      { class: "card", style: `--accent: ${accent}`, "aria-pressed": "false", "aria-keyshortcuts": key ?? false, title: t("card_about") },
      make("span", { class: "card-key", "aria-hidden": "true" }, key ?? ""),
      make("span", { class: "card-mark", "aria-hidden": "true" }, mark),
      make("span", { class: "card-name" }, name),
      takes,
      time,
    );
    button.dataset.name = name;
    const card = { name, says, button, takes, time, pairs, key, ...about };
    button.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      event.preventDefault();
      button.focus();
      button.setPointerCapture(event.pointerId);
      press(card);
    });
    button.addEventListener("pointerup", release);
    button.addEventListener("pointercancel", release);
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    button.addEventListener("keydown", (event) => {
      if (event.key !== " " && event.key !== "Enter") return;
      event.preventDefault();
      if (!event.repeat) press(card);
    });
    button.addEventListener("keyup", (event) => (event.key === " " || event.key === "Enter") && release());
    cards.push(card);
    return button;
  };

  const build = () => {
    const only = element.getAttribute("output");
    const shown = outputs().filter((one) => !only || one.name === only);
    const description = JSON.stringify(shown.map((one) => [one.name, one.kind, one.range, one.shown?.map((each) => each.name)]));
    if (description !== described) {
      described = description;
      cards = [];
      targets.forget();
      const classes = shown.filter((one) => one.shown).map(classGroup);
      const continuous = shown.filter((one) => one.kind === "continuous");
      values = valueCards(continuous, { targets, cardOf, say });
      groups.replaceChildren(...classes, ...values.sections);
      if (held) hold((held.card = nowOf(held.card)));
      more.show();
    }
    for (const card of cards) {
      const wanted = card.isContinuous ? card.pairs().filter((_, index) => index % 2 === 0) : null;
      const count = (live.state.takes ?? []).filter((take) => isShownBy(take, card, wanted)).length;
      card.takes.textContent = count === 1 ? t("card_take") : t("card_takes", { count });
    }
  };

  const classGroup = (output) => {
    const made = output.shown.map((one) => cardOf(one.name, one, () => [output.name, one.name, ...targets.along()], { output: output.name }));
    const field = make("input", { placeholder: t("card_new"), "aria-label": t("card_new"), maxlength: 40 });
    const add = make(
      "form",
      {
        class: "card-new",
        onsubmit: async (event) => {
          event.preventDefault();
          const name = field.value.trim();
          if (!name) return;
          try {
            await live.ask("/instrument/output/classes", output.name, ...output.shown.map((one) => one.name), name);
            field.value = "";
          } catch (error) {
            say(error.message, true);
          }
        },
      },
      field,
      make("button", {}, t("card_add")),
    );
    return make("section", { "aria-label": output.name }, make("div", { class: "value-top" }, make("h2", {}, output.name), add), make("div", { class: "cards" }, ...made.map(celled)));
  };

  const onKeyDown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (event.key === "Escape") end();
    const card = cards.find((one) => one.key === event.key);
    if (!card) return;
    event.preventDefault();
    if (!event.repeat) press(card);
  };
  const onKeyUp = (event) => {
    if (!held) isDown = false;
    else if (event.key === held.key) release(); // the key that was pressed, though the card may have another by now
  };
  const onBlur = () => held && !held.isLatched && end();
  window.addEventListener("keydown", onKeyDown);
  window.addEventListener("keyup", onKeyUp);
  window.addEventListener("blur", onBlur);
  const clock = setInterval(() => {
    if (held) held.card.time.textContent = `${((performance.now() - held.since) / 1000).toFixed(1)} s`;
  }, 100);
  build();
  return [
    () => window.removeEventListener("keydown", onKeyDown),
    () => window.removeEventListener("keyup", onKeyUp),
    () => window.removeEventListener("blur", onBlur),
    () => window.removeEventListener("instrument-record", onWanted),
    () => clearInterval(clock),
    () => end(),
    ...free.endings,
    live.on("state", ({ name, value }) => {
      if (name === "status" || name === "takes") build();
      // Undone, or stopped from elsewhere, where another may have begun; what comes of it is said there.
      const [phase, , number] = name === "recording" ? value : [];
      if (number > held?.number || (phase === "idle" && number === held?.number)) {
        let_go(held.card);
        held = null;
        say(t("cards_ended"));
      }
    }),
    live.on("link", (isThere) => {
      if (isThere || !held) return;
      let_go(held.card);
      held = null;
    }),
    live.on("frame", ({ predictions }) => {
      values?.moved(predictions);
      for (const card of cards) {
        if (card.isContinuous) continue;
        const seen = predictions[card.output];
        card.button.classList.toggle("seen", Boolean(seen) && seen[0] === card.name);
      }
    }),
  ];
});

const plain = (value) => (typeof value === "number" ? Number(value.toFixed(3)) : value);

// The card in a cell that tells its name how large it may be.
function celled(card) {
  const longest = Math.max(...card.dataset.name.split(/\s+/).map((word) => word.length));
  return make("div", { class: "card-cell", style: `--letters: ${longest}` }, card);
}

// Whether the take teaches what the card records: the card's class, or (`wanted`) values of these outputs.
function isShownBy(take, { output, name }, wanted) {
  if (take.kind !== "take") return false;
  return wanted ? wanted.every((one) => one in take.targets) : String(take.targets[output]) === name;
}
