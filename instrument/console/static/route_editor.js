// The editor of one route: every setting it has, and what can be done with it.

import { live, t } from "./live.js";
import { make } from "./element.js";
import { outputs } from "./accents.js";
import { curveOf, isLevel } from "./route_curve.js";

// `set("curve", 2, …)` edits the picked route; `ask(address, …)` is any command.
export function routeEditor(set, ask) {
  const title = make("h2");
  const fields = make("div", { class: "route-fields" });
  const curve = curveOf({ label: t("curve_about"), onChange: (settings) => set(...Object.entries(settings).flat()) });
  const about = make("p", { class: "shape-note" });
  const actions = make("div", { class: "route-actions" });
  const element = make("section", { class: "panel route-editor", "aria-label": t("route_editor") }, title, curve.element, about, fields, actions);
  let route = null;
  let shape = "";
  let shows = [];

  // A labelled input. `read` gives its value for a route, `write` what is to be set once it was changed.
  const field = (name, input, read, write) => {
    const isBox = input.type === "checkbox";
    input.name = name;
    input.ariaLabel = t(`field_${name}`);
    let stage = ""; // "typing" and "sent" are not overwritten by what plays meanwhile
    const show = () => {
      if (stage) return;
      if (isBox) input.checked = read(route);
      else input.value = read(route);
    };
    input.addEventListener("input", () => (stage = "typing"));
    input.addEventListener("blur", () => {
      if (stage === "typing") stage = "";
      show();
    });
    input.addEventListener("change", async () => {
      const value = isBox ? String(input.checked) : input.type === "number" ? input.valueAsNumber : input.value;
      stage = Number.isNaN(value) ? "" : "sent";
      const isDone = stage && (await set(...write(value)));
      stage = "";
      if (!isDone) show();
    });
    shows.push(show);
    return make("label", { class: isBox ? "is-box" : "" }, make("span", {}, t(`field_${name}`)), input);
  };
  const number = (name, attributes = {}, key = name, read = (one) => one[key]) =>
    field(name, make("input", { type: "number", step: "any", ...attributes }), (one) => round(read(one)), (value) => [key, value]);
  const text = (name, key = name, read = (one) => one[key] ?? "") =>
    field(name, make("input", { type: "text", spellcheck: "false", autocomplete: "off" }), read, (value) => [key, value.trim()]);
  const box = (name) => field(name, make("input", { type: "checkbox" }), (one) => one[name], (value) => [name, value]);
  const select = (name, options, read, write) =>
    field(name, make("select", {}, ...options.map(([value, words]) => make("option", { value }, words))), read, write);

  const build = () => {
    shows = [];
    const kind = route.midi ?? "osc";
    const level = isLevel(route);
    const parts = [
      select("from", sources(route), (one) => `${one.source}|${one.value}`, (value) => {
        const [from, what] = value.split("|");
        return ["from", from, "value", what === "said" ? "" : what];
      }),
      select("kind", kinds(route), () => kind, (value) => kindEdits(route, value)),
      select("to", destinations(kind), (one) => one.destination, (value) => ["to", value]),
    ];
    if (kind === "osc") parts.push(text("osc"));
    else {
      parts.push(number("channel", { min: 1, max: 16, step: 1 }, "channel", (one) => one.channel + 1));
      if (kind !== "program") parts.push(number(kind === "note" ? "note" : "controller", { min: 0, max: 127, step: 1 }, "number", (one) => one.midi_number));
      if (kind === "note") parts.push(number("velocity", { min: 1, max: 127, step: 1 }));
    }
    if (level) {
      const ends = [0, 1].map(() => make("input", { type: "number", step: "any" }));
      const range = () => ["range", JSON.stringify(ends.map((one) => one.valueAsNumber))];
      const edge = (name, end) => field(name, ends[end], (one) => round(end ? one.high : one.low), range);
      parts.push(edge("low", 0), edge("high", 1), number("curve", { min: 0.01, max: 100 }), number("smooth_s", { min: 0, max: 60 }), box("invert"));
    } else if (!route.when) {
      const share = { min: 0, max: 1, step: 0.01 };
      parts.push(number("threshold", share), number("hysteresis", share), number("min_hold_s", { min: 0, max: 60 }));
    }
    if (route.when) {
      const moments = { osc: ["hit", "begin", "end", "progress"], note: ["hit", "begin"], cc: ["progress"] }[kind];
      parts.push(select("when", moments.map((one) => [one, t(`when_${one}`)]), (one) => one.when, (value) => ["when", value]));
      if (kind === "note") parts.push(number("length_s", { min: 0, max: 3600 }));
    } else if (kind !== "note") parts.push(box("change_only"));
    const then = (one) => (typeof one.when_lost.then === "number" ? "value" : one.when_lost.then);
    parts.push(
      make(
        "fieldset",
        {},
        make("legend", {}, t("field_when_lost")),
        number("hold_s", { min: 0, max: 3600 }, "when_lost.hold_s", (one) => one.when_lost.hold_s),
        select("then", ["release", "hold", "value"].map((one) => [one, t(`lost_${one}`)]), then, (value) => [
          "when_lost.then",
          value === "value" ? route.low : value,
        ]),
        ...(then(route) === "value" ? [number("lost_value", {}, "when_lost.then", (one) => one.when_lost.then)] : []),
      ),
      text("route_name", "name"),
    );
    fields.replaceChildren(...parts);
    const learn = make("button", { class: "route-learn", title: t("route_learn_about"), onclick: () => ask("/instrument/route/learn", route.number, ...(route.tried === "alone" ? [0] : [])) });
    const remove = make("button", { onclick: () => ask("/instrument/patch/remove", `route.${route.number}`) }, t("route_remove"));
    actions.replaceChildren(learn, remove);
    shows.push(() => {
      learn.textContent = t(route.tried === "alone" ? "route_learning" : "route_learn");
      learn.setAttribute("aria-pressed", route.tried === "alone");
    });
  };

  return {
    element,
    show(shown) {
      element.hidden = !shown;
      if (!shown) return;
      route = shown;
      element.style.setProperty("--accent", route.accent);
      title.textContent = `${route.source} → ${route.name}`;
      const now = JSON.stringify([route.number, route.source, route.value, route.midi, route.when, typeof route.when_lost.then, sources(route), destinations(route.midi ?? "osc")]);
      if (now !== shape) {
        const focused = element.contains(document.activeElement) ? document.activeElement.name : "";
        shape = now;
        build();
        if (focused) fields.querySelector(`[name="${focused}"]`)?.focus();
      }
      curve.show(route);
      about.textContent = t(isLevel(route) ? "curve_level" : "curve_threshold");
      for (const show of shows) show();
    },
    at: curve.at,
  };
}

function round(value) {
  return Number(value.toPrecision(6));
}

// What a route of this kind may come from.
function sources({ midi, source, value }) {
  const found = [];
  for (const output of outputs()) {
    const isClass = output.kind === "class";
    const isContinuous = output.kind === "continuous";
    if (midi !== "note" && !(midi === "cc" && isClass) && !(midi === "program" && !isClass)) found.push([`${output.name}|said`, output.name]);
    if (!isContinuous && midi !== "program") for (const { name } of output.shown) found.push([`${output.name}.${name}|said`, `${output.name}.${name}`]);
    if (isClass && (!midi || midi === "cc")) found.push([`${output.name}|familiarity`, `${output.name} ${t("value_familiarity")}`]);
  }
  const own = `${source}|${value}`;
  if (!found.some(([one]) => one === own)) found.push([own, value === "said" ? source : `${source} ${t(`value_${value}`)}`]);
  return found;
}

// What a route from there may be.
function kinds({ output, class_name, value }) {
  const isClass = outputs().find((one) => one.name === output)?.kind === "class";
  const allowed = ["osc"];
  if (!isClass || class_name || value !== "said") allowed.push("cc");
  if (class_name) allowed.push("note");
  if (isClass && !class_name && value === "said") allowed.push("program");
  return allowed.map((one) => [one, t(`kind_${one}`)]);
}

function destinations(kind) {
  const wanted = kind === "osc" ? "osc" : "midi";
  const there = Object.entries(live.state.status?.destinations ?? {}).filter(([, one]) => one.kind === wanted).map(([name]) => name);
  return [...there.map((one) => [one, one]), ["page", t("to_page")]];
}

// Everything that has to change for a route to become of that kind, in one edit.
function kindEdits(route, kind) {
  if (kind === "osc") {
    return ["midi", "", "number", "", "channel", "", "velocity", "", "range", "", "when", "", "length_s", "", "to", destinations("osc")[0][0], "osc", `/${route.source.replaceAll(".", "/")}`];
  }
  const edits = ["osc", "", "midi", kind, "number", "", "when", "", "length_s", ""];
  if (route.osc) edits.push("range", "", "to", destinations(kind)[0][0]);
  return edits;
}
