// <instrument-run-throughs>: records whole run-throughs, and lists them.

import { live, t } from "./live.js";
import { define, make, onKey } from "./element.js";
import { clock, run } from "./run_through.js";

define("run-throughs", (element) => {
  element.classList.add("panel");
  const said = make("p", { class: "muted", role: "status" });
  const list = make("ul", { class: "runs" });
  let kind = null; // of what this page records
  let isEnding = false;

  const recording = () => live.state.recording ?? [live.state.status?.recording?.state ?? "idle", live.state.status?.recording?.seconds ?? 0];
  const kindRecorded = () => (recording()[0] === "idle" ? null : (kind ?? live.state.status?.recording?.kind ?? null));

  const begin = (what, command) => async () => {
    said.textContent = "";
    try {
      kind = what;
      await live.ask(command);
    } catch (error) {
      kind = null;
      said.textContent = error.message;
    }
  };
  const end = async () => {
    const was = kindRecorded();
    if (!was || isEnding) return;
    isEnding = true;
    if (was === "rehearsal") said.textContent = t("runs_learning");
    refresh();
    try {
      const before = new Set(run.all().map(({ id }) => id));
      const answer = await live.ask(was === "rehearsal" ? "/instrument/rehearse/stop" : "/instrument/record/stop");
      said.textContent = was === "rehearsal" ? told(answer[0]) : "";
      chooseNewest(before);
    } catch (error) {
      said.textContent = error.message;
    }
    kind = null;
    isEnding = false;
    refresh();
  };
  const chooseNewest = (before) => {
    const made = run.all().filter(({ id }) => !before.has(id)).at(-1);
    if (made) run.choose(made.id);
    else newestAfter = before;
  };
  let newestAfter = null; // the answer may come before the list

  const record = make("button", { class: "runs-record", title: t("runs_record_about"), onclick: begin("performance", "/instrument/performance/record") }, t("runs_record"));
  const nothing = make("button", { title: t("runs_nothing_about"), onclick: begin("rehearsal", "/instrument/rehearse") }, t("runs_nothing"));
  const stop = make("button", { class: "runs-stop", title: t("runs_stop_about"), onclick: end }, t("runs_stop"));
  const length = make("p", { class: "runs-length", role: "timer" });
  element.append(make("h2", {}, t("runs")), make("div", { class: "runs-keys" }, record, nothing, stop, length), said, list);

  const refresh = () => {
    const [state, seconds] = recording();
    const isMine = state !== "idle" && kindRecorded() !== "take" && kindRecorded() !== null;
    record.hidden = nothing.hidden = isMine;
    record.disabled = nothing.disabled = state !== "idle" || live.state.engine === "gone";
    stop.hidden = length.hidden = !isMine;
    stop.disabled = isEnding;
    element.toggleAttribute("data-recording", isMine);
    const text = t("runs_recording", { time: clock(seconds, 0) });
    if (length.textContent !== text) length.textContent = text;
  };
  const row = (take) => {
    const name = t(`runs_kind_${take.kind}`, { take: take.id });
    const when = new Date(take.created_at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    return make(
      "li",
      { "data-take": take.id },
      make(
        "button",
        { class: "run", "aria-pressed": String(take.id === run.take?.id), onclick: () => run.choose(take.id) },
        make("b", {}, name),
        make("span", {}, `${clock(take.seconds, 0)} · ${when}`),
      ),
      make(
        "button",
        { class: "run-delete", title: t("runs_delete_about"), "aria-label": t("runs_delete", { take: take.id }), onclick: () => remove(take.id) },
        "×",
      ),
    );
  };
  const remove = async (id) => {
    try {
      await live.ask("/instrument/takes/delete", id);
      said.textContent = "";
      said.append(t("runs_delete_about"), " ", make("button", { onclick: undo }, t("undo")));
    } catch (error) {
      said.textContent = error.message;
    }
  };
  const undo = async () => {
    const [what] = await live.ask("/instrument/undo").catch((error) => [error.message]);
    said.textContent = what;
  };
  const build = () => {
    if (newestAfter && run.all().some(({ id }) => !newestAfter.has(id))) {
      const before = newestAfter;
      newestAfter = null;
      return chooseNewest(before);
    }
    const rows = [...run.all()].reverse();
    const description = JSON.stringify([rows, run.take?.id]);
    if (list.dataset.rows === description) return;
    list.dataset.rows = description;
    const focused = list.contains(document.activeElement) ? document.activeElement.closest("li")?.dataset.take : null;
    list.replaceChildren(...(rows.length ? rows.map(row) : [make("li", { class: "muted" }, t("runs_none"))]));
    if (focused) list.querySelector(`[data-take="${focused}"] .run`)?.focus();
  };

  refresh();
  build();
  return [
    onKey("r", () => (kindRecorded() ? end() : record.disabled || record.click())),
    live.on("state", ({ name }) => {
      if (name === "recording" || name === "status" || name === "engine") refresh();
      if (name === "takes") build();
    }),
    run.on("take", build),
  ];
});

// What a rehearsal found, in words.
export function told(text) {
  const found = Object.entries(JSON.parse(text));
  return found.length ? found.map(([name, one]) => `${name}: ${one.text}`).join(". ") : t("strict_same");
}
