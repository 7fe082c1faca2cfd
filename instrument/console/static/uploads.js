// <instrument-uploads project-mb video-mb project-kinds video-kinds>: sends a project or a video to the instrument.

import { t } from "./live.js";
import { define, make } from "./element.js";

define("uploads", (element) => {
  element.classList.add("panel");
  const bar = make("progress", { max: 100, value: 0, hidden: true, "aria-label": t("uploads") });
  const said = make("p", { role: "status", hidden: true });
  const cancel = make("button", { hidden: true }, t("cancel"));
  const keys = [];
  let request = null;

  const say = (words, isBad = false) => {
    said.textContent = words;
    said.hidden = !words;
    said.classList.toggle("bad", isBad);
  };
  const end = (words, isBad) => {
    request = null;
    bar.hidden = cancel.hidden = true;
    for (const key of keys) key.disabled = false;
    say(words, isBad);
  };

  function send(kind, file) {
    const most = Number(element.getAttribute(`${kind}-mb`));
    const mb = Math.ceil(file.size / 2 ** 20);
    if (mb > most) return say(t("upload_large", { name: file.name, mb, most }), true);
    request = new XMLHttpRequest();
    request.upload.onprogress = ({ loaded, total }) => {
      bar.value = (loaded / total) * 100;
      say(loaded < total ? t("upload_sending", { name: file.name, percent: Math.round(bar.value) }) : t("upload_opening", { name: file.name }));
    };
    request.onload = () => {
      let answer = {};
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        // not the console's answer
      }
      if (request.status === 200) end(t(`upload_${kind}_done`, answer), false);
      else end(answer.reason ?? t("upload_failed"), true);
    };
    request.onerror = () => end(t("upload_failed"), true);
    request.onabort = () => end(t("upload_cancelled"), false);
    request.open("POST", `/uploads/${kind}?name=${encodeURIComponent(file.name)}`);
    request.send(file);
    bar.value = 0;
    bar.hidden = cancel.hidden = false;
    for (const key of keys) key.disabled = true;
    say(t("upload_sending", { name: file.name, percent: 0 }));
  }

  const row = make("div", { class: "file-row" });
  for (const kind of ["project", "video"]) {
    const input = make("input", { type: "file", accept: element.getAttribute(`${kind}-kinds`), hidden: true, "data-kind": kind });
    input.onchange = () => {
      if (input.files[0]) send(kind, input.files[0]);
      input.value = "";
    };
    const key = make("button", { onclick: () => input.click() }, t(`upload_${kind}`));
    keys.push(key);
    row.append(input, key);
  }
  cancel.onclick = () => request?.abort();
  element.append(make("h2", {}, t("uploads")), row, bar, said, cancel);
  return [() => request?.abort()];
});
