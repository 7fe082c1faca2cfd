// <instrument-coaching>: what to record next, in sentences, each with buttons that do what it says.
//
// Recording goes through <instrument-class-cards>, looking at takes through <instrument-takes-strip>, if they are there.

import { live, t } from "./live.js";
import { define, make } from "./element.js";
import { outputs } from "./accents.js";
import { shortNumber } from "./controls.js";

const MOST_MISSING = 3;

define("coaching", (element) => {
  element.classList.add("panel");
  const said = make("p", { class: "bad", role: "status", hidden: true });
  const list = make("ul", { class: "advice", "aria-live": "polite" });
  element.append(make("h2", {}, t("coaching")), said, list);

  const ask = async (...commands) => {
    said.hidden = true;
    try {
      for (const command of commands) await live.ask(...command);
    } catch (error) {
      said.textContent = error.message;
      said.hidden = false;
    }
  };
  const tell = (name, detail) => window.dispatchEvent(new CustomEvent(name, { detail }));
  const key = (text, action) => make("button", { onclick: action }, text);
  const record = (output, what) =>
    key(t("coaching_record", { what: typeof what === "number" ? shortNumber(what) : what }), () => tell("instrument-record", [output, what]));
  const goTo = (what) => tell("instrument-takes-picked", { ...what, by: element, isAsked: true });
  const numbers = (takes) => (takes.length === 1 ? t("coaching_take", { take: takes[0] }) : t("coaching_takes", { takes: takes.join(", ") }));
  const look = (takes) => key(t("coaching_look", { takes: numbers(takes) }), () => goTo({ takes }));
  const remove = (takes) => key(t("coaching_delete", { takes: numbers(takes) }), () => ask(["/instrument/takes/delete", ...takes]));
  const relabel = (output, take, what) =>
    key(t("coaching_relabel", { what }), () => ask(["/instrument/takes/relabel", take, output, what]));
  const train = () => key(t("train"), () => ask(["/instrument/train"]));

  const showBoth = (output, classes, mistaken) => {
    const takes = (live.state.takes ?? []).filter((take) => classes.includes(String(take.targets[output])));
    const what = { takes: mistaken, only: takes.map((take) => take.id) };
    return key(t("coaching_both"), () => goTo(what));
  };
  const useNetwork = (output) => {
    const number = outputs().findIndex((one) => one.name === output) + 1;
    return key(t("coaching_network"), () => ask(["/instrument/patch/set", `output.${number}.learner`, "network"], ["/instrument/train"]));
  };
  // The classes, and ends of ranges, that nobody has shown yet: of that output, or of all if there is none of that name.
  const missing = (output) => {
    const takes = (live.state.takes ?? []).filter((take) => take.kind === "take");
    const known = outputs().filter((one) => one.name === output);
    const all = (known.length ? known : outputs()).flatMap(({ name, shown, low, high }) =>
      shown
        ? shown.map((one) => [name, one.name]).filter(([, what]) => !takes.some((take) => String(take.targets[name]) === what))
        : [low, high].map((end) => [name, end]).filter(() => !takes.some((take) => name in take.targets)),
    );
    return all.slice(0, MOST_MISSING);
  };

  const doing = (output, { kind, evidence }, isLast) => {
    const { class: name, classes, take, takes } = evidence;
    switch (kind) {
      case "few":
      case "unbalanced":
      case "more":
      case "flattery":
        return [name ?? evidence.value].filter((what) => what !== undefined).map((what) => record(output, what));
      case "collision":
        return [showBoth(output, classes, takes), ...classes.map((what) => record(output, what))];
      case "outlier":
        return [look([take]), ...(evidence.relabel ? [relabel(output, take, evidence.relabel)] : []), remove([take])];
      case "length":
        return [look([take]), remove([take]), record(output, name)];
      case "tracking":
        return [look(takes), remove(takes)];
      case "slow":
        return [useNetwork(output)];
      case "refused": {
        const keys = missing(output).map(([of, what]) => record(of, what));
        return keys.length ? keys : [train()];
      }
      case "ready":
        return isLast ? [make("a", { class: "key", href: "/" }, t("coaching_stage"))] : [];
      default:
        return [];
    }
  };

  const show = () => {
    const { coaching = {}, status } = live.state;
    const all = Object.entries(coaching).flatMap(([name, one]) => (one.advice ?? []).map((advice) => [name, advice]));
    const [done, todo] = [true, false].map((isReady) => all.filter(([, { kind }]) => (kind === "ready") === isReady));
    const found = [...todo, ...done];
    const isBusy = status?.trainer?.training || status?.trainer?.studying;
    const isAlone = found.every(([name]) => name === found[0][0]);
    const description = JSON.stringify([found, found.length ? live.state.takes : isBusy]);
    if (description === list.dataset.shown) return;
    list.dataset.shown = description;
    const made = found.map(([name, advice], number) =>
      make(
        "li",
        { "data-kind": advice.kind },
        make("p", {}, ...(isAlone ? [] : [make("b", {}, name), " "]), advice.text),
        make("div", { class: "advice-keys" }, ...doing(name, advice, !todo.length && number === done.length - 1)),
      ),
    );
    list.replaceChildren(...(made.length ? made : [make("li", { class: "muted" }, t(isBusy ? "coaching_busy" : "coaching_none"))]));
  };
  show();
  return [live.on("state", ({ name }) => ["coaching", "status", "takes"].includes(name) && show())];
});
