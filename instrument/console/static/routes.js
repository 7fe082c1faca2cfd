// <instrument-routes>: the routes as a table, with what each sends now, and an editor for the one picked.
//
// Every edit goes into patch.toml through the protocol; what is shown is what the engine says of it.

import { live, t } from "./live.js";
import { define, isTyping, make, onKey, sharpCanvas } from "./element.js";
import { look, outputs } from "./accents.js";
import { keyOfControl, keyOfRoute, readingOf, shortNumber } from "./controls.js";
import { drawCurve, isLevel } from "./route_curve.js";
import { routeEditor } from "./route_editor.js";

const FLASH_MS = 160;

define("routes", (element) => {
  const body = make("tbody");
  const head = make("tr", {}, ...["from", "curve", "to", "range", "sends", "do"].map((one) => make("th", { scope: "col" }, t(`route_${one}`))));
  const table = make("table", { class: "routes", "aria-label": t("routes") }, make("thead", {}, head), body);
  const none = make("p", { class: "muted", hidden: true }, t("meters_none"));
  const problem = make("p", { class: "routes-problem bad", role: "alert", hidden: true });
  const broken = make("p", { class: "routes-problem bad", role: "alert", hidden: true });
  const undo = make("button", { class: "quiet", title: t("patch_undo_about"), onclick: () => ask("/instrument/patch/undo") }, t("undo"));
  const redo = make("button", { class: "quiet", title: t("patch_redo_about"), onclick: () => ask("/instrument/patch/redo") }, t("redo"));
  const add = make("button", { onclick: () => addRoute() }, t("route_add"));
  const list = make(
    "section",
    { class: "panel routes-list", "aria-label": t("routes") },
    make("div", { class: "routes-bar" }, make("h2", {}, t("routes")), undo, redo, add),
    broken,
    problem,
    make("div", { class: "routes-scroll" }, table, none),
  );
  const editor = routeEditor((...pairs) => set(...pairs), (...command) => ask(...command));
  element.append(list, editor.element);

  let rows = [];
  let wanted = 0; // the route picked; one that was just added comes a moment later
  let sending = null;
  const waiting = new Map(); // the newest value of what is edited while an edit is under way: a drag never queues

  const ask = async (address, ...values) => {
    try {
      const done = await live.ask(address, ...values);
      problem.hidden = true;
      return done;
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
      editor.show(routes()[picked()]); // as it really is
      return null;
    }
  };
  const send = async () => {
    let isDone = true;
    while (waiting.size) {
      const edit = [...waiting].flat();
      waiting.clear();
      isDone = (await ask("/instrument/patch/set", ...edit)) !== null;
    }
    sending = null;
    return isDone;
  };
  const set = (...pairs) => {
    pairs.forEach((one, index) => index % 2 || waiting.set(`route.${picked() + 1}.${one}`, pairs[index + 1]));
    sending ??= send();
    return sending;
  };

  const routes = () =>
    (live.state.routes ?? []).map((route) => {
      const { accent, mark } = look(route.output, route.class_name);
      const is_continuous = outputs().find((one) => one.name === route.output)?.kind === "continuous";
      return { ...route, accent, mark, is_continuous };
    });

  const picked = () => Math.min(wanted, Math.max((live.state.routes ?? []).length - 1, 0));

  const addRoute = async () => {
    const from = outputs()[0]?.name;
    if (!from) return;
    const taken = (live.state.routes ?? []).map((route) => route.osc);
    let address = `/${from}`;
    for (let number = 2; taken.includes(address); number++) address = `/${from}/${number}`;
    const count = routes().length;
    if (await ask("/instrument/patch/add", "route", JSON.stringify({ from, osc: address }))) wanted = count;
    show();
  };

  const pick = (index) => {
    wanted = index;
    show();
    if (matchMedia("(max-width: 760px)").matches) editor.element.scrollIntoView({ block: "nearest" });
  };

  const show = () => {
    const all = routes();
    while (rows.length > all.length) rows.pop().row.remove();
    while (rows.length < all.length) {
      const row = rowOf(rows.length, pick, ask);
      rows.push(row);
      body.append(row.row);
    }
    all.forEach((route, index) => rows[index].show(route, index === picked()));
    none.hidden = all.length > 0;
    table.hidden = all.length === 0;
    editor.show(all[picked()]);
    const wrong = live.state.status?.patch_problem;
    broken.textContent = wrong ? t("patch_problem", { reason: wrong }) : "";
    broken.hidden = !wrong;
  };

  const take = (controls) => {
    const now = performance.now();
    for (const control of controls) {
      const key = keyOfControl(control);
      const values = control.slice(typeof control[1] === "string" ? 2 : 1);
      for (const row of rows) if (row.key() === key) row.take(values, now);
    }
  };

  const onUndo = (event) => {
    if (!(event.ctrlKey || event.metaKey) || isTyping(event.target)) return;
    const key = event.key.toLowerCase();
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    ask(key === "y" || event.shiftKey ? "/instrument/patch/redo" : "/instrument/patch/undo");
  };
  window.addEventListener("keydown", onUndo);
  show();
  return [
    () => window.removeEventListener("keydown", onUndo),
    onKey("+", addRoute),
    live.on("state", ({ name }) => ["routes", "status", "takes"].includes(name) && show()),
    live.on("controls", take),
    live.on("frame", ({ controls }) => {
      take(controls);
      const now = performance.now();
      for (const row of rows) row.draw(now);
      editor.at(rows[picked()]?.share() ?? null);
    }),
  ];
});

// One line of the table.
function rowOf(index, pick, ask) {
  const number = index + 1;
  const mark = make("i", { "aria-hidden": "true" });
  const from = make("span");
  const name = make("button", { class: "route-pick", onclick: () => pick(index) }, mark, from);
  const { canvas, fit } = sharpCanvas({ "aria-hidden": "true" });
  const goal = make("b");
  const where = make("small");
  const range = make("td", { class: "route-range" });
  const bar = make("div", { class: "route-bar" }, make("div"));
  const value = make("output");
  const toggle = (word, address, field) =>
    make("button", {
      class: "route-toggle",
      "aria-pressed": "false",
      title: t(`route_${word}_about`),
      onclick: () => ask(address, number, route[field] ? 0 : 1),
    }, t(`route_${word}`));
  const mute = toggle("mute", "/instrument/route/mute", "is_muted");
  const solo = toggle("solo", "/instrument/route/solo", "is_solo");
  const test = make("button", {
    class: "route-toggle",
    "aria-pressed": "false",
    title: t("route_test_about"),
    onclick: () => ask("/instrument/route/test", number, ...(route.tried ? [0] : [])),
  }, t("route_test"));
  const row = make(
    "tr",
    { onclick: (event) => event.target.closest("button") || pick(index) },
    make("td", { class: "route-from" }, name),
    make("td", { class: "route-curve" }, canvas),
    make("td", { class: "route-goal" }, goal, where),
    range,
    make("td", { class: "route-sends" }, value, bar),
    make("td", { class: "route-do" }, make("div", {}, mute, solo, test)),
  );
  let route = {};
  let share = null;
  let text = "";
  let flashedAt = -Infinity;
  let isDue = true;

  return {
    row,
    key: () => keyOfRoute(route),
    share: () => (isLevel(route) ? share : null),
    show(shown, isPicked) {
      if (keyOfRoute(shown) !== keyOfRoute(route)) [share, text] = [null, ""];
      route = shown;
      isDue = true;
      row.style.setProperty("--accent", route.accent);
      row.classList.toggle("is-muted", route.is_muted);
      row.classList.toggle("is-picked", isPicked);
      name.setAttribute("aria-pressed", isPicked);
      mark.textContent = route.mark;
      from.textContent = route.value === "said" ? route.source : `${route.source} ${t(`value_${route.value}`)}`;
      goal.textContent = goalText(route);
      where.textContent = route.midi ? t("route_on_channel", { to: route.destination, channel: route.channel + 1 }) : route.destination;
      range.textContent = isLevel(route) ? t("route_from_to", { low: shortNumber(route.low), high: shortNumber(route.high) }) : "";
      for (const [button, isOn, word] of [[mute, route.is_muted, "mute"], [solo, route.is_solo, "solo"], [test, Boolean(route.tried), "test"]]) {
        button.setAttribute("aria-pressed", isOn);
        button.ariaLabel = `${t(`route_${word}`)}: ${goalText(route)}`;
      }
    },
    take(values, now) {
      const reading = readingOf(route, values, text);
      if (reading.isNew) flashedAt = now;
      ({ text, share } = reading);
      isDue = true;
    },
    draw(now) {
      row.classList.toggle("flash", now - flashedAt < FLASH_MS);
      if (!isDue) return;
      isDue = false;
      if (value.textContent !== text) value.textContent = text;
      bar.firstChild.style.transform = `scaleX(${share ?? 0})`;
      drawCurve(fit(), route, isLevel(route) ? share : null, 5);
    },
  };
}

export function goalText(route) {
  return route.osc ?? `${t(`midi_${route.midi}`)}${route.midi === "program" ? "" : ` ${route.midi_number}`}`;
}
