// The daemon's lines, and its waveform as an even flow: chunks come once a second and are played
// at the speed of time, a little late (as hrd/watch/playout.py does).

const MARGIN_S = 0.15, JUMP_S = 3, MEMORY_S = 40, SILENT_S = 3.5, HIDDEN_MS = 20000;

// From one picture of the wave to the next, at least: 30 a second, as the samples are.
export const FRAME_MS = 30;

export class Flow {
  constructor() { this.clear(); }

  clear() { this.times = []; this.values = []; this.position = null; this.speed = 1; this.step = 1 / 30; }

  get end() { return this.times.length ? this.times[this.times.length - 1] : null; }

  push(start, fs, values) {
    if (!values.length || !(fs > 0)) return;
    this.step = 1 / fs;
    let end = this.end;
    if (end !== null && start < end - JUMP_S) { this.clear(); this.step = 1 / fs; end = null; }
    while (this.times.length && this.times[this.times.length - 1] >= start - this.step / 2) {
      this.times.pop(); this.values.pop();
    }
    if (this.position === null || end === null || Math.abs(start - this.position) > JUMP_S) {
      this.position = start - MARGIN_S; this.speed = 1;
    } else {
      this.speed = 1 + Math.min(0.25, Math.max(-0.05, 0.1 * (end - this.position - MARGIN_S)));
    }
    values.forEach((value, k) => { this.times.push(start + k * this.step); this.values.push(value); });
    const old = this.times.findIndex((time) => time > this.end - MEMORY_S);
    if (old > 100) { this.times.splice(0, old); this.values.splice(0, old); }
  }

  advance(passed) {
    if (this.position === null) return;
    this.position = Math.max(this.position, Math.min(this.end, this.position + this.speed * passed));
  }

  // The points [time, value or null] from one time to another; null between them is a gap.
  between(from, to) {
    const points = [];
    for (let k = 0; k < this.times.length; k++) {
      const time = this.times[k];
      if (time < from - this.step || time > to) continue;
      if (points.length && time - points[points.length - 1][0] > 2.5 * this.step) points.push([time, null]);
      points.push([time, this.values[k]]);
    }
    return points;
  }
}

// Reads /events for ever. An old reading is never carried on: after a silence there is none.
export class Daemon {
  constructor(on) {
    this.on = on; this.flow = new Flow(); this.reading = null; this.came = 0; this.why = "connecting";
    this.source = null; this.hidden = null;
    this.open();
    setInterval(() => this.watch(), 500);
    document.addEventListener("visibilitychange", () => this.look());
    this.look();
  }

  open() {
    const source = this.source = new EventSource("/events");
    source.onmessage = (event) => this.take(JSON.parse(event.data));
    source.onerror = () => {
      this.lose("no connection to hrd web; trying again");
      if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
    };
  }

  // A browser has six connections for all its pages: one that nobody sees gives its own back.
  look() {
    clearTimeout(this.hidden);
    if (document.visibilityState === "hidden") {
      this.hidden = setTimeout(() => {
        this.source?.close(); this.source = null;
        this.lose("asleep while nobody looks");
      }, HIDDEN_MS);
    } else if (!this.source) { this.why = "connecting"; this.open(); }
  }

  take(message) {
    if (message.class === "GONE") { this.lose(message.message); return; }
    if (message.class === "HR") {
      this.reading = message; this.why = null; this.came = performance.now();
      if (message.state === "no_face" || message.state === "no_camera") this.flow.clear();
    } else if (message.class === "PPG") {
      this.flow.push(message.time, message.fs_hz, message.bvp);
    } else if (message.class === "VERSION") {
      this.why = "waiting for the first reading"; this.reading = null; this.flow.clear();
    }
    this.on(message);
  }

  lose(why) { this.why = why; this.reading = null; this.flow.clear(); this.on({class: "GONE", message: why}); }

  watch() {
    const quiet = (performance.now() - this.came) / 1000;
    if (this.reading && quiet > SILENT_S) this.lose("the daemon has said nothing for some seconds");
  }
}

// Draws the last seconds of the flow on a canvas, the newest at the right. `scale` is kept by it.
export function drawWave(canvas, flow, seconds, style, scale) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  if (flow.position === null) { scale.low = undefined; return; }
  const from = flow.position - seconds;
  const points = flow.between(from, flow.position);
  const seen = points.map((point) => point[1]).filter((value) => value !== null).sort((a, b) => a - b);
  if (seen.length < 2) return;
  const low = seen[Math.floor(0.02 * seen.length)], high = seen[seen.length - 1 - Math.floor(0.02 * seen.length)];
  const glide = scale.low === undefined ? 1 : 0.06;
  scale.low = (scale.low ?? low) + glide * (low - (scale.low ?? low));
  scale.high = (scale.high ?? high) + glide * (high - (scale.high ?? high));
  const span = Math.max(1e-9, scale.high - scale.low);
  pen.strokeStyle = style.color; pen.lineWidth = style.width; pen.lineJoin = pen.lineCap = "round";
  pen.beginPath();
  let drawing = false;
  for (const [time, value] of points) {
    if (value === null) { drawing = false; continue; }
    const x = (time - from) / seconds * width;
    const y = height * (0.92 - 0.84 * Math.min(1.08, Math.max(-0.08, (value - scale.low) / span)));
    if (drawing) pen.lineTo(x, y); else pen.moveTo(x, y);
    drawing = true;
  }
  pen.stroke();
}
