// <instrument-run-pin>: this should have been X: makes takes of a span; and tells which takes are to blame.

import { live, t } from "./live.js";
import { define, isTyping, make, onKey } from "./element.js";
import { look, outputs } from "./accents.js";
import { clock, run } from "./run_through.js";

define("run-pin", (element) => {
  element.classList.add("panel");
  const how = make("p", { class: "pin-span" });
  const said = make("p", { role: "status", class: "muted" });
  const start = make("button", { title: t("pin_start_about"), onclick: () => mark(0) }, t("pin_start"));
  const end = make("button", { title: t("pin_end_about"), onclick: () => mark(1) }, t("pin_end"));
  const choices = make("div", { class: "pin-choices" });
  const why = make("div", { class: "pin-why" });
  const answer = make("div", { class: "why", role: "status" });
  let answered = null; // the run-through it is about
  element.append(make("h2", {}, t("pin")), how, make("div", { class: "pin-keys" }, start, end), choices, said, why, answer);

  const mark = (side) => {
    if (!run.take) return;
    const [from, to] = run.span ?? [0, run.take.seconds];
    if (side) run.chooseSpan(Math.min(from, run.at), run.at);
    else run.chooseSpan(run.at, Math.max(to, run.at));
  };
  const pin = async (output, target, name) => {
    if (!run.span) return;
    said.textContent = "";
    try {
      const [take, frames] = await live.ask("/instrument/takes/cut", run.take.id, ...run.span, output, target);
      said.textContent = t("pin_made", { take, name, frames });
      said.append(" ", make("button", { onclick: undo }, t("undo")));
    } catch (error) {
      said.textContent = error.message;
    }
  };
  const step = async (command) => {
    const [what] = await live.ask(command).catch((error) => [error.message]);
    said.textContent = what;
  };
  const undo = () => step("/instrument/undo");
  const blame = async (output) => {
    if (!run.take) return;
    const at = run.at;
    answered = run.take.id;
    const reply = await fetch(`/takes/${run.take.id}/blame?output=${encodeURIComponent(output)}&at_s=${at}`).catch(() => null);
    const found = (await reply?.json()) ?? { reason: t("state_page_gone") };
    if (found.reason) return answer.replaceChildren(found.reason);
    const { accent, mark: sign } = look(output, found.said);
    answer.replaceChildren(
      make("p", {}, t("why_said", { output, name: `${sign} ${found.said}`, time: clock(at) })),
      make(
        "ol",
        {},
        ...found.because_of.slice(0, 4).map(({ take, share }) =>
          make(
            "li",
            { style: `--accent: ${accent}` },
            make("span", {}, t("why_take", { take })),
            make("i", { style: `width: ${Math.max(2, 100 * share)}px` }),
            make("b", {}, `${Math.round(100 * share)} %`),
          ),
        ),
      ),
    );
  };

  const build = () => {
    const all = outputs();
    const description = JSON.stringify(all.map(({ name, kind, shown, low, high }) => [name, kind, shown, low, high]));
    if (choices.dataset.of === description) return;
    choices.dataset.of = description;
    choices.replaceChildren(
      ...all.map((output) => {
        if (output.shown) {
          const keys = output.shown.map(({ name, accent, mark: sign }) =>
            make(
              "button",
              { class: "pin-class", style: `--accent: ${accent}`, "aria-label": t("pin_as", { name }), onclick: () => pin(output.name, name, name) },
              `${sign} ${name}`,
            ),
          );
          return make("div", { role: "group", "aria-label": output.name }, make("span", { class: "muted" }, output.name), ...keys);
        }
        const about = t("pin_value", { output: output.name });
        const value = make("input", { type: "range", min: output.low, max: output.high, step: (output.high - output.low) / 100, "aria-label": about });
        const shown = make("output", {}, Number(value.value).toFixed(2));
        value.oninput = () => (shown.textContent = Number(value.value).toFixed(2));
        const set = make("button", { onclick: () => pin(output.name, Number(value.value), value.value) }, t("pin_set"));
        return make("div", { role: "group", "aria-label": output.name }, make("span", { class: "muted" }, output.name), value, shown, set);
      }),
    );
    const classes = all.filter(({ kind }) => kind === "class");
    why.replaceChildren(
      ...classes.map(({ name }) =>
        make("button", { title: t("why_about", { output: name }), onclick: () => blame(name) }, classes.length > 1 ? `${t("why")} ${name}` : t("why")),
      ),
    );
    refresh();
  };
  const refresh = () => {
    how.textContent = run.span
      ? t("pin_span", { from: clock(run.span[0], 2), to: clock(run.span[1], 2), seconds: (run.span[1] - run.span[0]).toFixed(2) })
      : t("pin_how");
    how.classList.toggle("muted", !run.span);
    for (const one of choices.querySelectorAll("button, input")) one.disabled = !run.span;
    for (const one of [start, end, ...why.children]) one.disabled = !run.take;
  };
  const keys = (event) => {
    if (isTyping(event.target)) return;
    const key = event.key.toLowerCase();
    if (key === "[") mark(0); // before Ctrl, which some keyboards type it with
    else if (key === "]") mark(1);
    else if ((event.ctrlKey || event.metaKey) && (key === "z" || key === "y")) {
      event.preventDefault();
      step(key === "y" || event.shiftKey ? "/instrument/redo" : "/instrument/undo");
    }
  };
  window.addEventListener("keydown", keys);
  build();
  refresh();
  return [
    () => window.removeEventListener("keydown", keys),
    onKey("w", () => why.firstElementChild?.click()),
    run.on("span", refresh),
    run.on("take", () => {
      if (run.take?.id !== answered) answer.replaceChildren();
      refresh();
    }),
    live.on("state", ({ name }) => (name === "status" || name === "takes") && build()),
  ];
});
