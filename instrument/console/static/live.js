// The page's one WebSocket to the console, shared by every component.
//
//   live.on("state", ({name, value}) => …)    something of the state changed; live.state has all of it
//   live.on("frame", (moving) => …)           a frame: number, tracked, predictions, controls, pose, left_hand, …
//   live.on("picture", ({number, bitmap}) => …)  the picture of a frame, when somebody wants("preview")
//   live.on("link", (isThere) => …)           the console is there, or gone
//   const enough = live.wants("landmarks")    ask for a topic until enough() is called
//   await live.ask("/instrument/undo")        what its /done carries, blobs as Uint8Array; throws Error with the reason
//
// See instrument/console/viewer.py for what travels. Each "+" says that one message has been drawn.

const listeners = new Map();
const wanted = new Map();
const asked = new Map();
let socket = null;
let nextId = 1;
let retryMs = 250;
let decoding = false;

export const live = {
  state: {},
  isThere: false,

  on(name, listener) {
    if (!listeners.has(name)) listeners.set(name, new Set());
    listeners.get(name).add(listener);
    return () => listeners.get(name).delete(listener);
  },

  wants(...topics) {
    for (const topic of topics) wanted.set(topic, (wanted.get(topic) ?? 0) + 1);
    sendWants();
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      for (const topic of topics) wanted.set(topic, wanted.get(topic) - 1);
      sendWants();
    };
  },

  ask(address, ...values) {
    return new Promise((resolve, reject) => {
      if (socket?.readyState !== WebSocket.OPEN) return reject(new Error(t("state_page_gone")));
      const id = nextId++;
      asked.set(id, { resolve, reject });
      socket.send(JSON.stringify({ ask: [address, ...values], id }));
    });
  },
};

const texts = JSON.parse(document.getElementById("instrument-texts")?.textContent ?? "{}");

// The text of that name, with {words} filled in.
export function t(name, words = {}) {
  return (texts[name] ?? name).replace(/\{(\w+)\}/g, (_, word) => words[word] ?? "");
}

function tell(name, value) {
  for (const listener of listeners.get(name) ?? []) {
    try {
      listener(value);
    } catch (error) {
      console.error(error); // one component that fails must not stop the others
    }
  }
}

function sendWants() {
  if (socket?.readyState !== WebSocket.OPEN) return;
  const isSeen = document.visibilityState === "visible";
  const topics = isSeen ? [...wanted].filter(([, count]) => count > 0).map(([topic]) => topic) : [];
  socket.send(JSON.stringify({ want: topics }));
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/live`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    retryMs = 250;
    live.isThere = true;
    sendWants();
    tell("link", true);
  };
  socket.onmessage = ({ data }) => (typeof data === "string" ? takeText(JSON.parse(data)) : takeBinary(data));
  socket.onclose = () => {
    for (const { reject } of asked.values()) reject(new Error(t("state_page_gone")));
    asked.clear();
    if (live.isThere) {
      live.isThere = false;
      tell("link", false);
    }
    setTimeout(connect, retryMs);
    retryMs = Math.min(retryMs * 1.5, 2000);
  };
}

function takeText(message) {
  if (message.state) {
    Object.assign(live.state, message.state);
    for (const [name, value] of Object.entries(message.state)) tell("state", { name, value });
  } else if (asked.has(message.answer)) {
    const { resolve, reject } = asked.get(message.answer);
    asked.delete(message.answer);
    "fail" in message ? reject(new Error(message.fail)) : resolve(message.done.map(unpacked));
  }
}

function unpacked(value) {
  return value?.blob === undefined ? value : Uint8Array.from(atob(value.blob), (letter) => letter.charCodeAt(0));
}

async function takeBinary(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const blobs = {};
  let at = 4 + length;
  for (const [name, size] of header.blobs) {
    blobs[name] = [at, size];
    at += size;
  }
  const floats = (name) => blobs[name] && new Float32Array(buffer.slice(blobs[name][0], blobs[name][0] + blobs[name][1]));
  if (header.frame) {
    const [number, tracked] = header.frame;
    tell("frame", {
      number,
      tracked: Boolean(tracked),
      predictions: header.predictions,
      controls: header.controls,
      movements: header.movements ?? [],
      pose: floats("pose"),
      left_hand: floats("left_hand"),
      right_hand: floats("right_hand"),
      features: floats("features"),
    });
  } else if (header.controls) {
    tell("controls", header.controls);
  }
  if (blobs.preview && !decoding) {
    decoding = true;
    try {
      const [start, size] = blobs.preview;
      const bitmap = await createImageBitmap(new Blob([new Uint8Array(buffer, start, size)], { type: "image/jpeg" }));
      tell("picture", { number: header.picture, bitmap });
      bitmap.close();
    } catch {
      // a picture cut short: the next one comes
    } finally {
      decoding = false;
    }
  }
  // A tab in the background draws nothing, but its sound goes on.
  if (document.visibilityState === "visible") await new Promise(requestAnimationFrame);
  if (socket.readyState === WebSocket.OPEN) socket.send("+");
}

document.addEventListener("visibilitychange", sendWants);
connect();
