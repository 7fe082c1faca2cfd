// <instrument-takes-strip>: every take as a strip of skeletons, newest first; select them to play, trim, relabel, delete.

import { live, t } from "./live.js";
import { define, isTyping, make, sharpCanvas } from "./element.js";
import { look, outputs } from "./accents.js";
import { drawStrip, playBack, stripOf } from "./strip.js";
import { takeEditor } from "./take_editor.js";

define("takes-strip", (element) => {
  element.classList.add("panel");
  const count = make("span");
  const said = make("span", { class: "muted takes-said", role: "status" });
  const selected = new Set(); // the numbers of takes
  let anchor = null; // where a range begins
  let current = null; // the one that has, or would get, the focus
  let stopPlaying = null;
  let told = ""; // which takes other components know to be selected
  let only = null; // the numbers of those shown, when not all are
  let known = new Set();

  const ask = async (...command) => {
    try {
      const [what] = await live.ask(...command);
      said.textContent = typeof what === "string" ? what : "";
    } catch (error) {
      said.textContent = error.message;
    }
  };
  const key = (text, action) => make("button", { title: t(`${text}_about`), onclick: action }, t(text));
  const undo = key("undo", () => ask("/instrument/undo"));
  const redo = key("redo", () => ask("/instrument/redo"));

  const all = () => [...(live.state.takes ?? [])].reverse();
  const shown = () => all().filter((take) => !only || only.has(take.id));
  const chosen = () => shown().filter((take) => selected.has(take.id));

  // Playing

  const play = (take) => {
    const isPlaying = stopPlaying !== null;
    stopPlaying?.();
    if (isPlaying || !take) return;
    stopPlaying = playBack(take, look(...shownAs(take)).accent, (frame) => {
      editor.moved(frame);
      if (frame !== null) return;
      stopPlaying = null;
      playing.textContent = t("take_play");
    });
    playing.textContent = t("take_stop");
  };
  const playing = key("take_play", () => play(chosen()[0]));

  // Relabelling and deleting

  const labels = make("select", { "aria-label": t("take_label"), title: t("take_label_about") });
  const value = make("input", { type: "number", step: "any", "aria-label": t("take_value"), hidden: true });
  const relabel = make("button", { title: t("take_relabel_about") }, t("take_relabel"));
  const fillLabels = () => {
    const options = outputs().flatMap((one) =>
      one.shown ? one.shown.map((each) => [[one.name, each.name], `${each.mark} ${each.name}`]) : [[[one.name], `${one.mark} ${one.name}`]],
    );
    const description = JSON.stringify(options);
    if (labels.dataset.options === description) return;
    labels.dataset.options = description;
    const before = labels.value;
    labels.replaceChildren(...options.map(([pair, text]) => make("option", { value: JSON.stringify(pair) }, text)));
    if (options.some(([pair]) => JSON.stringify(pair) === before)) labels.value = before;
    chooseLabel();
  };
  const chooseLabel = () => {
    const [name, target] = JSON.parse(labels.value || "[]");
    const output = outputs().find((one) => one.name === name);
    value.hidden = target !== undefined || !output;
    if (value.hidden) return;
    [value.min, value.max] = [output.low, output.high];
    if (value.value === "") value.value = output.high;
  };
  labels.onchange = chooseLabel;
  relabel.onclick = () => {
    const [name, target] = JSON.parse(labels.value || "[]");
    const numbers = chosen().filter((take) => take.kind === "take").map((take) => take.id);
    if (name && numbers.length) ask("/instrument/takes/relabel_many", name, target ?? Number(value.value), ...numbers);
  };
  const remove = () => {
    const numbers = [...selected];
    if (!numbers.length) return;
    const left = shown().filter((take) => !selected.has(take.id));
    const after = shown().findIndex((take) => take.id === current);
    current = left[Math.min(after, left.length - 1)]?.id ?? null;
    const hadFocus = list.contains(document.activeElement);
    selected.clear();
    ask("/instrument/takes/delete", ...numbers).then(() => hadFocus && tiles.get(current)?.focus());
  };
  const removing = key("take_delete", remove);
  const about = make("div", { class: "takes-chosen", role: "group", "aria-label": t("takes_chosen_about"), hidden: true });
  const number = make("span");
  about.append(number, playing, labels, value, relabel, removing);

  // Selecting

  const select = (id, { isAdding = false, isRange = false } = {}) => {
    const order = shown().map((take) => take.id);
    if (isRange && order.includes(anchor)) {
      const [from, to] = [order.indexOf(anchor), order.indexOf(id)].sort((a, b) => a - b);
      selected.clear();
      for (const one of order.slice(from, to + 1)) selected.add(one);
    } else {
      const isOut = isAdding && selected.has(id);
      if (!isAdding) selected.clear();
      isOut ? selected.delete(id) : selected.add(id);
      anchor = id;
    }
    current = id;
    mark();
  };
  const mark = () => {
    for (const [id, tile] of tiles) {
      tile.setAttribute("aria-selected", String(selected.has(id)));
      tile.tabIndex = id === current ? 0 : -1;
    }
    const takes = chosen();
    about.hidden = !takes.length;
    number.textContent = t(takes.length === 1 ? "takes_chosen_one" : "takes_chosen", { count: takes.length, take: takes[0]?.id });
    playing.hidden = takes.length !== 1;
    relabel.disabled = !takes.some((take) => take.kind === "take");
    const description = chosen().map((take) => take.id).join();
    if (description !== told) window.dispatchEvent(new CustomEvent("instrument-takes-picked", { detail: { takes: [...selected], by: element } }));
    told = description;
    editor.show(takes.length === 1 ? takes[0] : null, takes.length === 1 ? look(...shownAs(takes[0])).accent : "");
  };
  const onListKey = (event) => {
    const order = shown().map((take) => take.id);
    const at = order.indexOf(current);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -order.length, End: order.length }[event.key];
    const isAll = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "a";
    if (step !== undefined) {
      const next = order[Math.min(Math.max(at + step, 0), order.length - 1)];
      if (next === undefined) return;
      if (event.ctrlKey || event.metaKey) current = next;
      else select(next, { isRange: event.shiftKey });
      mark();
      tiles.get(next)?.focus();
    } else if (isAll) {
      for (const id of order) selected.add(id);
      mark();
    } else if (event.key === " ") select(current, { isAdding: true });
    else if (event.key === "Enter") play(shown()[at]);
    else if (event.key === "Delete" || event.key === "Backspace") remove();
    else if (event.key === "Escape") {
      selected.clear();
      mark();
    } else return;
    event.preventDefault();
  };

  const showAll = make("button", { hidden: true }, t("takes_all"));
  showAll.onclick = () => {
    only = null;
    build();
    tiles.get(current)?.focus();
  };

  const list = make("ul", { class: "takes", role: "listbox", "aria-multiselectable": "true", "aria-label": t("takes_about"), onkeydown: onListKey });
  const none = make("p", { class: "muted" }, t("takes_none"));
  const editor = takeEditor((take, first, last) => ask("/instrument/takes/trim", take, first, last));
  const bar = make("div", { class: "takes-bar" }, make("h2", {}, t("takes"), " ", count), showAll, undo, redo, about, said);
  element.append(bar, make("div", { class: "takes-row" }, editor.element, none, list));

  const tiles = new Map(); // by number
  const described = new Map();
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) if (isIntersecting) target.dispatchEvent(new Event("shown"));
  });
  const tileOf = (take) => {
    const [output, target] = shownAs(take);
    const { accent, mark: sign } = look(output, target);
    const { canvas, fit } = sharpCanvas({ "aria-hidden": "true" });
    const others = Object.entries(take.targets).filter(([name]) => name !== output);
    const what = [[output, target], ...others].map(([, one]) => (typeof one === "number" ? one.toFixed(2) : one)).join(", ");
    const quality = Math.round(take.tracked * 100);
    const tile = make(
      "li",
      {
        class: "take", role: "option", style: `--accent: ${accent}`, "data-take": take.id, tabindex: -1, "aria-selected": "false",
        onclick: (event) => {
          select(take.id, { isAdding: event.ctrlKey || event.metaKey, isRange: event.shiftKey });
          tile.focus();
        },
        onfocus: () => (current = take.id),
        ondblclick: () => play(take),
      },
      canvas,
      make("p", {}, make("b", {}, `${sign} ${what}`), make("span", {}, t("take_number", { take: take.id }))),
      make(
        "p",
        {},
        make("span", {}, t(take.trim ? "take_trimmed" : "take_length", { seconds: take.seconds.toFixed(1) })),
        make("span", { class: quality < 90 ? "bad" : "" }, t("take_tracked", { percent: quality })),
      ),
    );
    tile.addEventListener("shown", async () => {
      const strip = await stripOf(take);
      if (strip && tile.isConnected) drawStrip(fit(), strip, accent, take.trim);
    });
    return tile;
  };

  const build = () => {
    const every = all();
    if (every.some((take) => !known.has(take.id))) only = null; // a new one is to be seen
    known = new Set(every.map((take) => take.id));
    const takes = shown();
    const there = new Set(takes.map((take) => take.id));
    const isPart = takes.length < every.length;
    count.textContent = isPart ? t("takes_part", { count: takes.length, of: every.length }) : takes.length || "";
    showAll.hidden = !isPart;
    none.hidden = takes.length > 0;
    list.hidden = !takes.length;
    for (const id of [...selected]) if (!there.has(id)) selected.delete(id);
    if (!there.has(current)) current = takes[0]?.id ?? null;
    const hadFocus = Number(document.activeElement?.closest?.("[data-take]")?.dataset.take);
    for (const [id, tile] of tiles) if (!there.has(id)) forget(id, tile);
    takes.forEach((take, place) => {
      const description = JSON.stringify([take, look(...shownAs(take)).accent]);
      if (tiles.has(take.id) && described.get(take.id) !== description) forget(take.id, tiles.get(take.id));
      if (!tiles.has(take.id)) {
        tiles.set(take.id, tileOf(take));
        described.set(take.id, description);
        watcher.observe(tiles.get(take.id));
      }
      const tile = tiles.get(take.id);
      if (list.children[place] !== tile) list.insertBefore(tile, list.children[place] ?? null);
    });
    fillLabels();
    mark();
    if (hadFocus && tiles.has(hadFocus) && document.activeElement === document.body) tiles.get(hadFocus).focus();
  };
  const forget = (id, tile) => {
    watcher.unobserve(tile);
    tile.remove();
    tiles.delete(id);
    described.delete(id);
  };

  const onKey = (event) => {
    if (!(event.ctrlKey || event.metaKey) || isTyping(event.target)) return;
    const pressed = event.key.toLowerCase();
    if (pressed !== "z" && pressed !== "y") return;
    event.preventDefault();
    ask(pressed === "y" || event.shiftKey ? "/instrument/redo" : "/instrument/undo");
  };
  // Elsewhere in the page takes were picked: with `only` no others are shown beside those, with `isAsked` they are gone to.
  const onPicked = ({ detail }) => {
    if (detail.by === element) return;
    if (detail.only) only = new Set([...detail.only, ...detail.takes]);
    else if (detail.takes.some((id) => !shown().some((take) => take.id === id))) only = null;
    const there = shown().map((take) => take.id);
    selected.clear();
    for (const id of there) if (detail.takes.includes(id)) selected.add(id);
    current = anchor = [...selected][0] ?? current;
    told = [...selected].join();
    build();
    const tile = tiles.get(current);
    if (detail.isAsked) element.scrollIntoView({ block: "nearest" });
    tile?.scrollIntoView({ block: "nearest", inline: "center" });
    if (detail.isAsked) tile?.focus();
  };
  window.addEventListener("keydown", onKey);
  window.addEventListener("instrument-takes-picked", onPicked);
  build();
  return [
    () => window.removeEventListener("keydown", onKey),
    () => window.removeEventListener("instrument-takes-picked", onPicked),
    () => watcher.disconnect(),
    () => stopPlaying?.(),
    () => editor.end(),
    live.on("state", ({ name }) => (name === "takes" || name === "status") && build()),
  ];
});

// The output and target whose accent a take has: a class before a value.
function shownAs(take) {
  const taught = Object.entries(take.targets);
  return taught.find(([, target]) => typeof target === "string") ?? taught[0] ?? ["", take.kind];
}
