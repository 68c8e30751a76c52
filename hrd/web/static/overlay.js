import { Daemon, FRAME_MS, drawWave } from "/flow.js";

const by = (id) => document.getElementById(id);
let words = { reasons: {} };
fetch("/words.json").then((answer) => answer.json()).then((known) => { words = known; }).catch(() => {});

const daemon = new Daemon(() => {
  const reading = daemon.reading;
  const tracking = reading && reading.state === "tracking" && reading.bpm !== undefined;
  by("bpm").textContent = tracking ? String(Math.round(reading.bpm)) : "--";
  by("why").textContent = tracking ? "" : reading ? (words.reasons[reading.reason]?.short ?? reading.reason) : daemon.why ?? "";
});

const scale = {};
let last = performance.now();
function frame(now) {
  requestAnimationFrame(frame);
  if (now - last < FRAME_MS) return;
  daemon.flow.advance(Math.min(1, (now - last) / 1000));
  last = now;
  drawWave(by("wave"), daemon.flow, 6, { color: "#ffffff", width: 3 }, scale);
}
requestAnimationFrame(frame);
