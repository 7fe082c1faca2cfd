// <instrument-camera-link>: the link that other devices open, as a QR code and as text.

import { live, t } from "./live.js";
import { define, make } from "./element.js";

define("camera-link", (element) => {
  element.classList.add("panel");
  const title = make("h2", {}, t("link_title"));
  const shown = make("div", { class: "link-shown" });
  element.append(title, shown);
  let drawn;

  const show = () => {
    const { network } = live.state;
    if (network === undefined || drawn === JSON.stringify(network)) return;
    drawn = JSON.stringify(network);
    if (!network) {
      const command = make("code", {}, "instrument play --console-listen 0.0.0.0");
      shown.replaceChildren(make("p", {}, t("link_off")), command, make("p", {}, t("link_why")));
      return;
    }
    shown.replaceChildren(
      make("img", { src: "/network/qr.svg", alt: t("link_qr"), class: "link-qr" }),
      make("div", {},
        make("p", {}, t("link_how")),
        make("code", { class: "link-url" }, network.url),
        make("p", { class: "link-small" }, t("link_warning")),
        make("code", { class: "link-small" }, network.fingerprint),
      ),
    );
  };
  show();
  return [live.on("state", show)];
});
