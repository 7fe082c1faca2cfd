// <instrument-phone-camera>: this device's camera, sent to the instrument as JPEG over a WebSocket of its own.
//
// At most two pictures are under way; the console answers each with {"taken": number} once the engine has it. See
// instrument/console/phone.py. The delay shown is from the moment the picture was there to that answer.

import { live, t } from "./live.js";
import { define, make } from "./element.js";

const WIDTH_PX = 640;
const QUALITY = 0.72;
const MOST_UNDER_WAY = 2;
const FORGOTTEN_MS = 2000; // a picture not answered by then is not waited for
const REPLACED = 4001;
const OWN_SOURCES = /^(camera:|demo$|osc$)/; // what the program listens to by itself
const IS_HERE = ["127.0.0.1", "localhost", "[::1]"].includes(location.hostname); // others may choose no other source
const STARTED = "instrument-camera"; // remembered, so that a page that is loaded again goes on

define("phone-camera", (element) => {
  const video = make("video", { muted: true, playsinline: true, autoplay: true, "aria-label": t("phone_picture") });
  video.muted = true;
  const note = make("p", { class: "phone-note" });
  const start = make("button", { class: "phone-start" });
  const turn = make("button", { class: "phone-turn", hidden: true, title: t("phone_turn_about") }, t("phone_turn"));
  const watch = make("button", { class: "phone-watch", hidden: true }, t("phone_watch"));
  const back = make("button", { class: "phone-back", hidden: true, title: t("phone_back_about") }, t("phone_back"));
  const figures = make("p", { class: "phone-figures" });
  const sign = make("p", { class: "phone-sign", role: "status" });
  element.append(
    make("div", { class: "phone-picture" }, video, note, figures),
    make("div", { class: "phone-controls" }, sign, back, watch, turn, start),
  );

  const small = document.createElement("canvas");
  const context = small.getContext("2d", { alpha: false, desynchronized: true });
  let stream = null;
  let facing = "user";
  let socket = null;
  let isWatched = false;
  let isWanted = false; // whether the performer has started the camera and not stopped it
  let isReplaced = false;
  let retryMs = 250;
  let timer = 0;
  let number = 0;
  let isEncoding = false;
  let frameCallback = 0;
  let lock = null;
  let trouble = "";
  const underWay = new Map(); // number: when the picture was there
  const delays = [];
  const takenAt = [];

  const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

  function show() {
    const now = performance.now();
    while (takenAt.length && now - takenAt[0] > 2000) takenAt.shift();
    const isSending = isWanted && isWatched && takenAt.length > 0;
    let state = "off";
    let words = trouble || t("phone_off");
    if (trouble) state = "bad";
    else if (isReplaced) words = t("phone_replaced");
    else if (isWanted && !stream) [state, words] = ["waiting", t("phone_asking")];
    else if (isWanted && socket?.readyState !== WebSocket.OPEN) [state, words] = ["bad", t("state_page_gone")];
    else if (isWanted && !isWatched) [state, words] = ["waiting", t("phone_unwatched")];
    else if (isWanted) [state, words] = isSending ? ["good", t("phone_sending")] : ["waiting", t("phone_waiting")];
    element.dataset.state = state;
    if (sign.textContent !== words) sign.textContent = words;
    start.textContent = t(isWanted ? "phone_stop" : "phone_start");
    start.setAttribute("aria-pressed", String(isWanted));
    watch.hidden = !(isWanted && stream && !isWatched && live.state.engine === "here");
    const isElsewhere = !OWN_SOURCES.test(live.state.status?.source?.name ?? "osc");
    back.hidden = isWanted || !IS_HERE || !isElsewhere || live.state.engine !== "here";
    note.hidden = Boolean(stream);
    note.textContent = t("phone_note");
    figures.hidden = !isSending;
    if (isSending) {
      const rate = (takenAt.length / Math.min(2000, Math.max(1, now - takenAt[0]))) * 1000;
      const delay = delays.length ? Math.round(median(delays)) : "";
      figures.textContent = t("phone_figures", { rate: Math.round(rate), delay });
      element.dataset.delay = delay;
    }
  }

  async function begin() {
    isWanted = true;
    isReplaced = false;
    trouble = "";
    show();
    try {
      if (!navigator.mediaDevices) throw new Error(t("phone_insecure"));
      const wanted = { width: { ideal: WIDTH_PX }, height: { ideal: 360 }, frameRate: { ideal: 30 }, facingMode: facing };
      const found = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
      if (!isWanted) return stop(found);
      stream = found;
    } catch (error) {
      isWanted = false;
      trouble = whyNot(error);
      return show();
    }
    sessionStorage.setItem(STARTED, facing);
    stream.getVideoTracks()[0].onended = () => {
      end();
      trouble = t("phone_unplugged");
      show();
    };
    video.srcObject = stream;
    video.classList.toggle("mirrored", facing === "user");
    video.play().catch(() => {});
    listen();
    connect();
    keepAwake();
    const cameras = (await navigator.mediaDevices.enumerateDevices()).filter((one) => one.kind === "videoinput");
    turn.hidden = cameras.length < 2;
    show();
  }

  function end() {
    isWanted = false;
    sessionStorage.removeItem(STARTED);
    clearTimeout(timer);
    stop(stream);
    stream = null;
    video.srcObject = null;
    turn.hidden = true;
    socket?.close();
    lock?.release().catch(() => {});
    lock = null;
    show();
  }

  const stop = (some) => some?.getTracks().forEach((track) => track.stop());

  function whyNot(error) {
    const names = { NotAllowedError: "phone_denied", NotFoundError: "phone_none", NotReadableError: "phone_busy" };
    return names[error.name] ? t(names[error.name]) : error.message;
  }

  async function keepAwake() {
    try {
      lock = await navigator.wakeLock?.request("screen");
    } catch {
      // the screen may go dark: the performer sees it
    }
  }

  function connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const mine = (socket = new WebSocket(`${scheme}://${location.host}/camera/pictures`));
    socket.onopen = () => (retryMs = 250);
    socket.onmessage = ({ data }) => hear(JSON.parse(data));
    socket.onclose = ({ code }) => {
      if (socket !== mine) return;
      isWatched = false;
      if (code === REPLACED) {
        end();
        isReplaced = true;
      } else if (isWanted) {
        timer = setTimeout(connect, retryMs);
        retryMs = Math.min(retryMs * 1.5, 2000);
      }
      show();
    };
  }

  function hear(said) {
    const now = performance.now();
    if ("watched" in said) {
      isWatched = said.watched;
      underWay.clear();
      delays.length = takenAt.length = 0;
    }
    if ("taken" in said) {
      takenAt.push(now);
      if (underWay.has(said.taken)) delays.push(now - underWay.get(said.taken));
      if (delays.length > 30) delays.shift();
      for (const one of underWay.keys()) if (one <= said.taken) underWay.delete(one);
    }
  }

  // Every picture of the camera: sent when there is room for it, else the next one is.
  function listen() {
    const next = video.requestVideoFrameCallback
      ? (then) => video.requestVideoFrameCallback(then)
      : (then) => requestAnimationFrame((now) => then(now, {}));
    const onFrame = (now, { captureTime }) => {
      if (!stream) return;
      frameCallback = next(onFrame);
      send(captureTime ?? now);
    };
    if (frameCallback) video.cancelVideoFrameCallback?.(frameCallback);
    frameCallback = next(onFrame);
  }

  function send(thereAt) {
    if (!isWatched || isEncoding || socket.readyState !== WebSocket.OPEN || !video.videoWidth) return;
    for (const [one, at] of underWay) if (performance.now() - at > FORGOTTEN_MS) underWay.delete(one);
    if (underWay.size >= MOST_UNDER_WAY) return;
    const scale = Math.min(1, WIDTH_PX / video.videoWidth);
    const width = Math.round(video.videoWidth * scale);
    const height = Math.round(video.videoHeight * scale);
    if (small.width !== width || small.height !== height) [small.width, small.height] = [width, height];
    context.drawImage(video, 0, 0, width, height);
    isEncoding = true;
    small.toBlob(
      async (blob) => {
        try {
          const jpeg = new Uint8Array(await blob.arrayBuffer());
          if (!isWatched || socket.readyState !== WebSocket.OPEN) return;
          const message = new Uint8Array(8 + jpeg.length);
          const head = new DataView(message.buffer);
          number += 1;
          head.setUint32(0, number, true);
          head.setInt32(4, delays.length ? Math.round(median(delays)) : -1, true);
          message.set(jpeg, 8);
          underWay.set(number, thereAt);
          socket.send(message);
        } finally {
          isEncoding = false;
        }
      },
      "image/jpeg",
      QUALITY,
    );
  }

  start.onclick = () => (isWanted ? end() : begin());
  turn.onclick = () => {
    end();
    facing = facing === "user" ? "environment" : "user";
    begin();
  };
  const choose = (source) => () =>
    live.ask("/instrument/source", source).catch((error) => {
      trouble = error.message;
      show();
    });
  watch.onclick = choose("phone");
  back.onclick = choose("auto");
  const awake = () => document.visibilityState === "visible" && isWanted && keepAwake();
  document.addEventListener("visibilitychange", awake);
  const showing = setInterval(show, 500);
  const before = sessionStorage.getItem(STARTED);
  if (before) {
    facing = before;
    begin();
  } else {
    show();
  }
  return [
    () => clearInterval(showing),
    () => document.removeEventListener("visibilitychange", awake),
    end,
    live.on("state", ({ name }) => name === "engine" && show()),
  ];
});
