import { Daemon, FRAME_MS, drawWave } from "/flow.js";

const by = (id) => document.getElementById(id);
const put = (id, text) => { const node = by(id); if (node.textContent !== text) node.textContent = text; };
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
let words = { states: {}, reasons: {} };
let rates = [], span = 600, paused = false, spokenAt = -1e9, spokenKey = "";

async function load(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}
load("/words.json").then((known) => { words = known; show(); }).catch(() => {});
const recall = () => load("/recent.json")
  .then((recent) => { rates = recent.rates; span = recent.span_s; drawRate(); }).catch(() => {});
recall();

const daemon = new Daemon((message) => {
  if (message.class === "HR") {
    rates.push([message.time, message.bpm ?? null]);
    while (rates.length && rates[0][0] < message.time - span) rates.shift();
    drawRate();
    facts(message);
  } else if (message.class === "WHY") showWhy(message);
  else if (message.class === "STATUS") status(message);
  else if (message.class === "VERSION") recall();
  if (message.class === "HR" || message.class === "GONE" || message.class === "VERSION") show();
});

function show() {
  const reading = daemon.reading;
  const tracking = reading && reading.state === "tracking" && reading.bpm !== undefined;
  put("link", daemon.why ?? "live");
  put("bpm", tracking ? String(Math.round(reading.bpm)) : "--");
  by("state").className = `state ${tracking ? "good" : "warn"}`;
  by("meters").hidden = !tracking;
  document.title = tracking ? `${Math.round(reading.bpm)} bpm` : "no bpm: hrd";
  if (tracking) {
    put("state", `tracking: ${reading.bpm.toFixed(1)} bpm`);
    const times = reading.confidence < 0.99 ? Math.round(100 * reading.confidence) : "over 99";
    put("why", ""); put("remedy", `Within 5 bpm of the truth ${times} times in 100.`);
    by("confidence").value = reading.confidence;
    put("confidence-text", reading.confidence.toFixed(2));
    by("signal").value = reading.snr_db ?? -6;
    put("signal-text", reading.snr_db === undefined ? "" : `${reading.snr_db.toFixed(1)} dB`);
  } else if (reading) {
    const known = words.reasons[reading.reason];
    put("state", `no bpm: ${words.states[reading.state] ?? reading.state}`);
    put("why", known ? known.short : reading.reason);
    put("remedy", known ? `What to do: ${known.remedy}.` : "");
  } else {
    put("state", "no bpm"); put("why", daemon.why ?? ""); put("remedy", "");
  }
  if (!tracking && !(reading && ["WEAK_SIGNAL", "FILLING_WINDOW"].includes(reading.reason))) noWhy();
  speak(tracking);
}

// Why the confidence is what it is: of the newest reading, or of nothing.
function showWhy(message) {
  const weights = message.weights ?? [];
  const heavy = weights.filter((one) => Math.abs(one.log_odds) >= 0.05).slice(0, 3);
  put("why-short", heavy.map((one) => `${one.log_odds > 0 ? "+" : "\u2212"} ${one.name}`).join(", ") || "no estimate");
  if (!by("why-box").open && by("why-rows").childElementCount) return;
  put("why-head", message.confidence === undefined ? "No estimate" : message.gate
    ? `Confidence of the estimate ${message.confidence.toFixed(2)}; it was not published: ${message.gate}`
    : `Confidence ${message.confidence.toFixed(2)}`);
  const rows = weights.length ? [{ name: "where it starts", log_odds: message.start, measured: "" }, ...weights] : [];
  by("why-rows").replaceChildren(...rows.map((one) => {
    const row = document.createElement("tr"), head = document.createElement("th");
    head.scope = "row"; head.textContent = one.name;
    const weight = document.createElement("td"), measured = document.createElement("td");
    const size = Math.abs(one.log_odds).toFixed(1);
    weight.textContent = size === "0.0" ? size : `${one.log_odds < 0 ? "\u2212" : "+"}${size}`;
    weight.className = size === "0.0" ? "" : one.log_odds < 0 ? "against" : "for";
    measured.textContent = one.measured;
    row.append(head, weight, measured);
    return row;
  }));
}
function noWhy() { put("why-short", "no estimate"); put("why-head", "No estimate"); by("why-rows").replaceChildren(); }

// For screen readers: at each change of state, and every ten seconds.
function speak(tracking) {
  const key = tracking ? "tracking" : by("why").textContent;
  const now = performance.now();
  if (key === spokenKey && (!tracking || now - spokenAt < 10000)) return;
  spokenKey = key; spokenAt = now;
  put("spoken", tracking
    ? `${by("bpm").textContent} beats per minute, confidence ${by("confidence-text").textContent}`
    : `${by("state").textContent}. ${by("why").textContent}. ${by("remedy").textContent}`);
}

const known = new Map();
function tell(name, value) {
  if (value === undefined || value === null || value === "") return;
  if (!known.has(name)) {
    const row = document.createElement("div");
    row.append(document.createElement("dt"), document.createElement("dd"));
    row.firstChild.textContent = name;
    by("facts").append(row);
    known.set(name, row.lastChild);
  }
  if (known.get(name).textContent !== value) known.get(name).textContent = value;
}
function facts(reading) {
  tell("frames", reading.fps !== undefined ? `${reading.fps.toFixed(1)} a second` : undefined);
  tell("latency", reading.latency_ms !== undefined ? `${Math.round(reading.latency_ms)} ms` : undefined);
}
function status(message) {
  tell("drops", message.drops ? `${message.drops.frames} frames` : undefined);
  tell("jitter", message.jitter_ms !== undefined ? `${message.jitter_ms.toFixed(1)} ms` : undefined);
  tell("engine", [message.engine?.name, message.model?.name].filter(Boolean).join(", "));
  tell("camera", message.camera?.source);
  tell("up", message.uptime_s !== undefined ? `${Math.round(message.uptime_s / 60)} min` : undefined);
  tell("memory", message.memory?.rss_mb !== undefined ? `${Math.round(message.memory.rss_mb)} MB` : undefined);
  tell("release", message.release);
}

const scale = {};
let last = performance.now();
function frame(now) {
  requestAnimationFrame(frame);
  if (now - last < FRAME_MS) return;
  daemon.flow.advance(Math.min(1, (now - last) / 1000));
  last = now;
  if (!paused && !by("pulse").hidden) {
    const seconds = by("wave").clientWidth < 600 ? 6 : 10;
    put("wave-span", `, ${seconds} s`);
    drawWave(by("wave"), daemon.flow, seconds, { color: colour("--wave"), width: 2.5 }, scale);
  }
}
requestAnimationFrame(frame);

function drawRate() {
  const canvas = by("rate");
  const width = canvas.clientWidth, height = canvas.clientHeight, ratio = window.devicePixelRatio || 1;
  if (paused || !width) return;
  canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const said = rates.filter((rate) => rate[1] !== null).map((rate) => rate[1]);
  let low = 10 * Math.floor(Math.min(...said, 200) / 10), high = 10 * Math.ceil(Math.max(...said, 0) / 10);
  if (!said.length) { low = 60; high = 80; }
  while (high - low < 20) { if ((low + high) / 2 > said[0]) low -= 10; else high += 10; }
  const left = 34, foot = 18, top = 8;
  const y = (bpm) => top + (1 - (bpm - low) / (high - low)) * (height - foot - top);
  pen.font = "12px system-ui, sans-serif";
  pen.fillStyle = colour("--quiet"); pen.strokeStyle = colour("--rule");
  for (const bpm of [low, (low + high) / 2, high]) {
    pen.fillText(String(Math.round(bpm)), 2, y(bpm) + 4);
    pen.beginPath(); pen.moveTo(left, y(bpm)); pen.lineTo(width, y(bpm)); pen.stroke();
  }
  const end = rates.length ? rates[rates.length - 1][0] : 0;
  const x = (time) => left + (1 - (end - time) / span) * (width - left - 4);
  pen.fillText("10 min ago", left, height - 3);
  pen.textAlign = "right"; pen.fillText("now", width - 2, height - 3); pen.textAlign = "left";
  pen.strokeStyle = pen.fillStyle = colour("--wave"); pen.lineWidth = 2; pen.lineJoin = "round";
  let before = null;
  pen.beginPath();
  for (const [time, bpm] of rates) {
    if (bpm === null) { before = null; continue; }
    if (before === null || time - before > 5) { pen.moveTo(x(time) - 1, y(bpm)); pen.lineTo(x(time), y(bpm)); }
    else pen.lineTo(x(time), y(bpm));
    before = time;
  }
  pen.stroke();
}
addEventListener("resize", drawRate);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawRate);

by("pause").addEventListener("click", () => {
  paused = !paused;
  by("pause").setAttribute("aria-pressed", String(paused));
  if (!paused) drawRate();
});

// Tabs, as the ARIA practices describe them.
const tabs = [by("tab-pulse"), by("tab-setup")];
function choose(tab) {
  for (const one of tabs) {
    const chosen = one === tab;
    one.setAttribute("aria-selected", String(chosen));
    one.tabIndex = chosen ? 0 : -1;
    by(one.getAttribute("aria-controls")).hidden = !chosen;
  }
  if (tab.id === "tab-setup") openSetup(); else closeSetup();
  drawRate();
}
for (const tab of tabs) {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
    const other = tabs[1 - tabs.indexOf(tab)];
    other.focus(); choose(other);
  });
}

// Camera set-up: the daemon is asked for it while the tab is open.
const CHECKS = [
  ["face_px", "size", (v) => `${Math.round(v)} pixels`, (v) => `${v} or more`, "FACE_TOO_SMALL"],
  ["luma", "light", (v) => `${Math.round(v)} of 255`, (v) => `${v} or more`, "TOO_DARK"],
  ["saturated", "burnt out", (v) => `${Math.round(100 * v)} %`, (v) => `${Math.round(100 * v)} % at most`, "TOO_BRIGHT"],
  ["motion_per_s", "movement", (v) => `${v.toFixed(2)} widths/s`, (v) => `${v} at most`, "MOTION"],
  ["fps", "frames", (v) => `${v.toFixed(1)} a second`, (v) => `${v} or more`, "LOW_FRAME_RATE"],
];
let setup = null;
function openSetup() {
  if (setup) return;
  setup = new EventSource("/events?setup=1");
  setup.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.class === "SETUP") showSetup(message);
  };
}
function closeSetup() { setup?.close(); setup = null; }
function showSetup(message) {
  const ways = message.in_the_way ?? [];
  const width = message.width_px ?? 640, height = message.height_px ?? 480;
  by("picture").setAttribute("viewBox", `0 0 ${width} ${height}`);
  by("frame").setAttribute("width", width - 4); by("frame").setAttribute("height", height - 4);
  const face = by("face"), box = message.box;
  face.style.display = box ? "" : "none";
  if (box) {
    face.setAttribute("x", width - box.x_px - box.w_px); face.setAttribute("y", box.y_px);
    face.setAttribute("width", box.w_px); face.setAttribute("height", box.h_px);
    face.setAttribute("rx", box.w_px * 0.4);
    face.classList.toggle("good", !ways.length);
  }
  const advice = ways.map((reason) => {
    const known = words.reasons[reason];
    return known ? `${known.short}: ${known.remedy}` : reason;
  });
  by("advice").replaceChildren(...(advice.length ? advice : ["nothing is in the way"]).map((text) => {
    const item = document.createElement("li"); item.textContent = text; return item;
  }));
  by("checks").replaceChildren(...CHECKS.filter(([field]) => message[field] !== undefined).map(
    ([field, name, value, limit, reason]) => {
      const row = document.createElement("tr"), good = !ways.includes(reason);
      const head = document.createElement("th");
      head.scope = "row"; head.textContent = name;
      row.append(head, ...[value(message[field]), message.limits?.[field] === undefined ? "" : limit(message.limits[field]),
        good ? "ok" : "in the way"].map((text) => {
        const cell = document.createElement("td"); cell.textContent = text; return cell;
      }));
      row.lastChild.className = good ? "" : "no";
      return row;
    }));
}
