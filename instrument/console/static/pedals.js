// <instrument-pedals>: what pedals, keys and knobs do: learned by pressing them, lit while they are down.

import { live, t } from "./live.js";
import { define, make } from "./element.js";
import { outputs } from "./accents.js";

const SHOWN_MS = 4000;

define("pedals", (element) => {
  element.classList.add("panel");
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", t("pedals"));
  const chips = make("div", { class: "scene-buttons" });
  const words = make("datalist", { id: "pedal-words" });
  const wanted = make("input", { type: "text", list: words.id, name: "new", "aria-label": t("pedal_press"), placeholder: t("pedal_new"), maxlength: "120" });
  const form = make("form", { class: "scene-save", onsubmit: (event) => {
    event.preventDefault();
    if (wanted.value.trim()) add(wanted.value.trim());
    else wanted.focus();
  } }, wanted, make("button", { title: t("pedal_add_about") }, t("pedal_add")));
  const settings = make("div", { class: "scene-settings" });
  const note = make("p", { class: "pedals-note muted", role: "status", hidden: true });
  const problem = make("p", { class: "bad", role: "alert", hidden: true });
  element.append(make("h2", {}, t("pedals")), chips, form, words, settings, note, problem);

  let picked = 0; // the row whose settings are open; 0 for none
  let described = "";
  let heard = "";
  let hiding;

  const pedals = () => live.state.pedals?.pedals ?? [];
  const ask = async (address, ...values) => {
    try {
      const done = await live.ask(address, ...values);
      problem.hidden = true;
      return done;
    } catch (error) {
      say(error.message);
      return null;
    }
  };
  const say = (text) => {
    problem.textContent = text;
    problem.hidden = false;
  };
  const add = async (press) => {
    const row = pedals().length + 1;
    if (!(await ask("/instrument/patch/add", "pedal", JSON.stringify({ press })))) return;
    wanted.value = "";
    picked = row;
    ask("/instrument/pedal/learn", row);
  };
  const message = (pedal) =>
    pedal.is_learning
      ? t("pedal_now")
      : pedal.midi
        ? `${pedal.midi} ${pedal.number}${pedal.channel ? ` ch ${pedal.channel}` : ""}`
        : t("pedal_unlearned");

  const chip = (pedal) =>
    make(
      "button",
      {
        class: `scene pedal${pedal.is_learning ? " is-learning" : ""}`,
        "data-row": pedal.row,
        "aria-expanded": String(pedal.row === picked),
        onclick: () => {
          picked = pedal.row === picked ? 0 : pedal.row;
          show();
        },
      },
      make("span", {}, pedal.name),
      make("small", {}, message(pedal)),
    );

  const field = (pedal, key, input) => {
    input.value = pedal[key] ?? "";
    input.name = key;
    input.addEventListener("change", () => {
      const given = input.type === "number" && input.value ? input.valueAsNumber : input.value.trim();
      ask("/instrument/patch/set", `pedal.${pedal.row}.${key}`, given);
    });
    return make("label", {}, make("span", {}, t(`pedal_${key}`)), input);
  };

  const learn = (pedal) => ask("/instrument/pedal/learn", pedal.row, ...(pedal.is_learning ? [0] : []));

  const suggested = () => {
    const classes = outputs().flatMap((one) => (one.shown ?? []).map((shown) => `${one.name} ${quoted(shown.name)}`));
    return [
      ...classes.flatMap((one) => [`record ${one}`, `record toggle ${one}`, `record series 5 2 3 ${one}`]),
      ...["record stop", "train", "undo", "redo", "run toggle", "panic", "scene next", "scene previous"],
      ...(live.state.scenes ?? []).map((one) => `scene recall ${quoted(one.name)}`),
      ...["rehearse", "rehearse stop"],
    ];
  };

  const show = () => {
    build();
    for (const pedal of pedals()) {
      chips.querySelector(`[data-row="${pedal.row}"]`).classList.toggle("is-down", pedal.is_down);
    }
  };

  const build = () => {
    const { ports = [] } = live.state.pedals ?? {};
    const suggestions = suggested();
    const description = JSON.stringify([pedals().map((one) => ({ ...one, is_down: null })), ports, picked, suggestions, heard]);
    if (description === described) return;
    described = description;
    const focused = element.contains(document.activeElement) ? document.activeElement : null;
    const key = focused?.dataset.row ?? focused?.name;
    words.replaceChildren(...suggestions.map((one) => make("option", { value: one })));
    chips.replaceChildren(...pedals().map(chip), ...(pedals().length ? [] : [make("p", { class: "muted" }, t("pedals_none"))]));
    const pedal = pedals().find((one) => one.row === picked);
    settings.replaceChildren(
      ...(pedal
        ? [
            field(pedal, "press", make("input", { type: "text", list: words.id, class: "is-wide" })),
            field(pedal, "release", make("input", { type: "text", list: words.id, class: "is-wide" })),
            field(pedal, "port", make("input", { type: "text", placeholder: t("pedal_any") })),
            make("button", { class: "pedal-learn", name: "learn", title: t("pedal_learn_about"), "aria-pressed": String(pedal.is_learning), onclick: () => learn(pedal) }, t(pedal.is_learning ? "pedal_now" : "pedal_learn")),
            make("button", { class: "quiet", onclick: () => ((picked = 0), ask("/instrument/patch/remove", `pedal.${pedal.row}`)) }, t("pedal_remove")),
          ]
        : []),
    );
    const missing = [...new Set(ports.filter((one) => one.reason).map((one) => t("pedal_missing", { reason: one.reason })))];
    note.textContent = note.title = heard || missing.join(" ");
    note.hidden = !note.textContent;
    note.classList.toggle("warn", !heard && missing.length > 0);
    if (key) element.querySelector(`[data-row="${CSS.escape(key)}"], [name="${CSS.escape(key)}"]`)?.focus();
  };

  const fired = ([row, what, text]) => {
    if (what === "fail") return say(t("pedal_failed", { reason: text }));
    if (!row) {
      heard = t("pedal_heard", { message: text });
      clearTimeout(hiding);
      hiding = setTimeout(() => ((heard = ""), show()), SHOWN_MS);
      return show();
    }
    const pedal = pedals().find((one) => one.row === row);
    if (!pedal) return;
    pedal.is_down = what === "press" && pedal.midi !== "program"; // which has no end
    show();
    chips.querySelector(`[data-row="${row}"]`).animate([{ boxShadow: "0 0 0 4px var(--text)" }, { boxShadow: "0 0 0 0 transparent" }], { duration: 600 });
  };
  show();
  return [
    live.on("state", ({ name, value }) => {
      if (name === "pedal") fired(value);
      else if (["pedals", "scenes", "status"].includes(name)) show();
    }),
    () => clearTimeout(hiding),
  ];
});

const quoted = (name) => (/^[\p{L}\p{N}_-]+$/u.test(name) ? name : `'${name}'`);
