// <instrument-scenes>: the scenes as buttons, saving what routes do now, and what recalls the one that plays.

import { live, t } from "./live.js";
import { define, make } from "./element.js";
import { outputs } from "./accents.js";

define("scenes", (element) => {
  element.classList.add("panel");
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", t("scenes"));
  const buttons = make("div", { class: "scene-buttons" });
  const problem = make("p", { class: "bad", role: "alert", hidden: true });
  const name = make("input", { type: "text", "aria-label": t("scene_name"), placeholder: t("scene_name"), maxlength: "40" });
  const save = make("form", { class: "scene-save", onsubmit: (event) => {
    event.preventDefault();
    const wanted = name.value.trim() || playing()?.name;
    if (wanted) ask("/instrument/scene/save", wanted).then((isDone) => {
      if (!isDone) return;
      name.value = "";
      name.blur(); // the keys recall scenes again
      showSaving();
    });
  } }, name);
  const saving = make("button");
  save.append(saving);
  // With no other name given, what strayed from the scene that plays is kept in it.
  const showSaving = () => {
    const scene = name.value.trim() ? undefined : playing();
    const isDue = Boolean(scene?.has_strayed);
    saving.textContent = t(isDue ? "scene_update" : "scene_save");
    saving.title = isDue ? t("scene_strayed_about", { name: scene.name }) : t("scene_save_about");
    saving.classList.toggle("due", isDue);
  };
  name.addEventListener("input", showSaving);
  const settings = make("div", { class: "scene-settings" });
  element.append(make("h2", {}, t("scenes")), buttons, save, settings, problem);
  const edit = make("button", { class: "quiet", "aria-expanded": "false", onclick: () => open(settings.hidden) }, t("scene_edit"));
  const open = (isOpen) => {
    settings.hidden = !isOpen;
    edit.setAttribute("aria-expanded", isOpen);
  };
  settings.hidden = true;
  let described = "";

  const ask = async (address, ...values) => {
    try {
      await live.ask(address, ...values);
      problem.hidden = true;
      return true;
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
      return false;
    }
  };
  const scenes = () => live.state.scenes ?? [];
  const playing = () => scenes().find((one) => one.is_current);

  const button = (scene) => {
    const made = make(
      "button",
      { class: "scene", "aria-pressed": String(scene.is_current), "aria-keyshortcuts": scene.key || false, "data-scene": scene.name, onclick: () => ask("/instrument/scene/recall", scene.name) },
      ...(scene.key ? [make("kbd", { "aria-hidden": "true" }, scene.key)] : []),
      make("span", {}, scene.name),
    );
    return made;
  };

  const field = (scene, key, input, value) => {
    input.value = value;
    input.addEventListener("change", () => {
      const given = input.type === "number" ? input.valueAsNumber : input.value.trim();
      if (!Number.isNaN(given)) ask("/instrument/patch/set", `scene.${scene.number}.${key}`, given);
    });
    return make("label", {}, make("span", {}, t(`scene_${key}`)), input);
  };

  const show = () => {
    const classes = outputs().flatMap((output) => (output.shown ?? []).map((one) => `${output.name}.${one.name}`));
    const description = JSON.stringify([scenes(), classes]);
    if (description === described) return;
    described = description;
    const focused = element.contains(document.activeElement) ? document.activeElement : null;
    const key = focused?.dataset.scene ?? focused?.name;
    const scene = playing();
    showSaving();
    buttons.replaceChildren(
      ...scenes().map(button),
      ...(scenes().length ? [] : [make("p", { class: "muted" }, t("scenes_none"))]),
      ...(scene ? [make("button", { class: "quiet", title: t("scene_leave_about"), onclick: () => ask("/instrument/scene/leave") }, t("scene_leave")), edit] : []),
    );
    if (scene) {
      const cues = ["", ...new Set([...classes, ...(scene.from ? [scene.from] : [])])];
      settings.replaceChildren(
        field(scene, "fade_s", make("input", { type: "number", min: 0, max: 3600, step: "any", name: "fade_s" }), scene.fade_s),
        field(scene, "key", make("input", { type: "text", maxlength: 1, name: "key" }), scene.key),
        field(scene, "from", make("select", { name: "from" }, ...cues.map((one) => make("option", { value: one }, one || t("scene_no_class")))), scene.from),
        ...(scene.from ? [field(scene, "hold_s", make("input", { type: "number", min: 0, max: 3600, step: "any", name: "hold_s" }), scene.hold_s)] : []),
        make("button", { class: "quiet", onclick: () => ask("/instrument/patch/remove", `scene.${scene.number}`) }, t("scene_remove")),
      );
    } else settings.replaceChildren();
    if (key) element.querySelector(`[data-scene="${CSS.escape(key)}"], [name="${CSS.escape(key)}"]`)?.focus();
  };

  const fade = ([scene, seconds]) => {
    const made = buttons.querySelector(`[data-scene="${CSS.escape(scene)}"]`);
    if (made && seconds > 0) made.animate([{ backgroundSize: "0% 100%" }, { backgroundSize: "100% 100%" }], { duration: seconds * 1000 });
  };
  show();
  return [
    live.on("state", ({ name: changed, value }) => {
      if (changed === "scene") requestAnimationFrame(() => fade(value));
      else if (["scenes", "status", "takes"].includes(changed)) show();
    }),
  ];
});
