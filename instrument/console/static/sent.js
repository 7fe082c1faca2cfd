// <instrument-sent>: everything that really leaves, by destination, with its newest values and how often it is sent.

import { live, t } from "./live.js";
import { define, make } from "./element.js";
import { keyOfControl, shortNumber } from "./controls.js";

const SHOWN_EVERY_MS = 250;
const MOST = 60;

define("sent", (element) => {
  element.classList.add("panel");
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", t("sent"));
  const groups = make("div", { class: "sent-groups" });
  const name = make("input", { type: "text", required: true, pattern: "[A-Za-z0-9_\\-]+", "aria-label": t("destination_name"), placeholder: t("destination_name") });
  const kind = make("select", { "aria-label": t("destination_kind") }, make("option", { value: "osc" }, "OSC"), make("option", { value: "midi" }, "MIDI"));
  const where = make("input", { type: "text", required: true, "aria-label": t("destination_where"), placeholder: t("destination_osc") });
  kind.onchange = () => (where.placeholder = t(`destination_${kind.value}`));
  const problem = make("p", { class: "bad", role: "alert", hidden: true });
  const submit = make("button", {}, t("destination_add"));
  const form = make("form", { class: "sent-form", onsubmit: (event) => {
    event.preventDefault();
    const asked = name.readOnly
      ? live.ask("/instrument/patch/set", `destination.${name.value}.${kind.value}`, where.value)
      : live.ask("/instrument/patch/add", `destination.${name.value}`, JSON.stringify({ [kind.value]: where.value }));
    asked.then(
      () => {
        details.open = false;
        problem.hidden = true;
      },
      (error) => {
        problem.textContent = error.message;
        problem.hidden = false;
      },
    );
  } }, name, kind, where, submit);
  const details = make("details", {}, make("summary", {}, t("destination_new")), form);
  // One there is, or with nothing a new one.
  const fill = (named = "", status = { kind: "osc" }) => {
    form.reset();
    name.value = named;
    name.readOnly = kind.disabled = Boolean(named);
    kind.value = status.kind;
    kind.onchange();
    where.value = status.to ?? "";
    submit.textContent = t(named ? "destination_change" : "destination_add");
    details.open = details.open || Boolean(named);
    if (named) where.select();
  };
  details.ontoggle = () => details.open || fill();
  element.append(make("div", { class: "sent-bar" }, make("h2", {}, t("sent")), details), problem, groups);

  const sent = new Map(); // by key: destination, message, values, count
  const shown = new Map(); // by destination: the lines of its list
  let shownAt = performance.now();

  const take = (controls) => {
    for (const control of controls) {
      const key = keyOfControl(control);
      if (!sent.has(key) && sent.size >= MOST) continue;
      const one = sent.get(key) ?? { destination: control[0], message: messageOf(control), count: 0, rate: 0 };
      one.values = valuesOf(control);
      one.count += 1;
      sent.set(key, one);
    }
  };

  const show = () => {
    const now = performance.now();
    const seconds = (now - shownAt) / 1000;
    shownAt = now;
    const destinations = live.state.status?.destinations ?? {};
    const names = [...new Set([...Object.keys(destinations), ...[...sent.values()].map((one) => one.destination)])];
    for (const [one, group] of shown) if (!names.includes(one)) shown.delete(one), group.element.remove();
    for (const one of names) {
      if (!shown.has(one)) {
        const to = make("small");
        const rows = make("dl");
        const change = () => fill(one, live.state.status?.destinations[one]);
        const isOurs = destinations[one]?.kind === "page";
        const label = isOurs ? one : make("button", { class: "quiet", title: t("destination_change_about"), onclick: change }, one);
        const made = { element: make("section", {}, make("h3", {}, label, to), rows), to, rows, lines: new Map() };
        shown.set(one, made);
        groups.append(made.element);
      }
      const { to, rows, lines } = shown.get(one);
      const { to: place = "", reason = "" } = destinations[one] ?? {};
      to.textContent = [place, reason].filter(Boolean).join(": ");
      to.title = to.textContent;
      to.className = reason ? "bad" : "";
      for (const [key, control] of sent) {
        if (control.destination !== one) continue;
        control.rate = control.rate * 0.6 + (control.count / seconds) * 0.4;
        control.count = 0;
        if (!lines.has(key)) {
          const values = make("dd");
          const rate = make("dd", { class: "sent-rate" });
          lines.set(key, { values, rate });
          rows.append(make("div", {}, make("dt", {}, control.message), values, rate));
        }
        const line = lines.get(key);
        if (line.values.textContent !== control.values) line.values.textContent = control.values;
        const rate = control.rate >= 0.5 ? t("sent_rate", { count: Math.round(control.rate) }) : "";
        if (line.rate.textContent !== rate) line.rate.textContent = rate;
      }
    }
  };
  const timer = setInterval(() => document.visibilityState === "visible" && show(), SHOWN_EVERY_MS);
  show();
  return [
    () => clearInterval(timer),
    live.on("controls", take),
    live.on("frame", ({ controls }) => take(controls)),
    live.on("state", ({ name: changed }) => {
      if (changed !== "routes") return;
      sent.clear();
      for (const group of shown.values()) group.lines.clear(), group.rows.replaceChildren();
    }),
  ];
});

function messageOf([, first, number]) {
  if (typeof first === "string") return first;
  const kind = { 0xb0: "cc", 0xc0: "program" }[first & 0xf0] ?? "note";
  const channel = t("sent_channel", { channel: (first & 0x0f) + 1 });
  return `${t(`midi_${kind}`)}${kind === "program" ? "" : ` ${number}`} ${channel}`;
}

function valuesOf([, first, ...rest]) {
  if (typeof first === "string") return rest.map((one) => (typeof one === "number" ? shortNumber(one) : one)).join("  ");
  if ((first & 0xf0) === 0x90 && rest[1] > 0) return `${t("meter_on")} ${rest[1]}`;
  if ((first & 0xf0) === 0x80 || (first & 0xf0) === 0x90) return t("meter_off");
  return String(rest[rest.length - 1]);
}
