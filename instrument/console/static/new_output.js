// What else is to be learned, and what no longer: a form that adds an output to the patch, with a route that sends it by
// its name, and buttons that take outputs out.

import { live, t } from "./live.js";
import { make } from "./element.js";
import { outputs } from "./accents.js";

const KINDS = ["class", "continuous", "trigger"];

// The form, folded up; `say` says how it goes.
export function newOutput(say) {
  const name = make("input", { required: true, pattern: "[A-Za-z0-9_\\-]+", maxlength: 40, "aria-label": t("output_name"), placeholder: t("output_name"), title: t("output_name_about") });
  const kind = make("select", { "aria-label": t("output_kind") }, ...KINDS.map((one) => make("option", { value: one }, t(`output_${one}`))));
  const classes = make("input", { class: "output-classes", pattern: ".*[^,\\s].*" });
  const showKind = () => {
    classes.hidden = classes.disabled = kind.value === "continuous"; // disabled: what is in it need not be right
    classes.required = !classes.hidden;
    const what = t(kind.value === "trigger" ? "output_movements" : "output_classes");
    classes.placeholder = classes.ariaLabel = what;
  };
  const add = async () => {
    const added = { name: name.value, kind: kind.value };
    if (!classes.hidden) added.classes = classes.value.split(",").map((one) => one.trim()).filter(Boolean);
    const route = { from: added.name, osc: `/${added.name}` };
    try {
      await live.ask("/instrument/patch/add", "output", JSON.stringify(added));
      details.open = false;
      await live.ask("/instrument/patch/add", "route", JSON.stringify(route));
      say(t("output_added", { output: added.name, address: route.osc }));
    } catch (error) {
      say(error.message, true);
    }
  };
  const onsubmit = (event) => {
    event.preventDefault();
    add();
  };
  const form = make("form", { class: "output-form", onsubmit }, name, kind, classes, make("button", {}, t("card_add")));
  const there = make("p", { class: "outputs-there" });
  const remove = (number, output) =>
    live.ask("/instrument/patch/remove", `output.${number}`).then(
      () => say(t("output_removed", { output })),
      (error) => say(error.message, true),
    );
  const showThere = () => {
    const buttons = outputs().map(({ name: one }, index) =>
      make("button", { title: t("output_remove_about"), onclick: () => remove(index + 1, one) }, t("output_remove", { output: one })),
    );
    there.replaceChildren(...buttons);
  };
  const details = make("details", { class: "output-new" }, make("summary", {}, t("output_new")), form, there);
  kind.onchange = showKind;
  details.ontoggle = () => {
    if (!details.open) form.reset();
    showKind();
  };
  showKind();
  return { element: details, show: showThere };
}
