// Charts and explorers of the page. Plotly comes once, from this site, when the first chart nears the view.
// A classic script, because browsers refuse modules to a page opened from disk; it runs deferred, after the page is read.

(() => {
"use strict";

const HERE = globalThis.document?.currentScript?.src;

// ---- expression graphs (the nodes are described in aistack/trace.py) ----------------------------------------------

const rint = (x) => { const r = Math.round(x); return Math.abs(x % 1) === 0.5 && r % 2 !== 0 ? r - 1 : r; };
const UNARY = {
  negative: (x) => -x, absolute: Math.abs, exp: Math.exp, expm1: Math.expm1, log: Math.log, log2: Math.log2, log10: Math.log10,
  log1p: Math.log1p, sqrt: Math.sqrt, square: (x) => x * x, reciprocal: (x) => 1 / x, sin: Math.sin, cos: Math.cos, tan: Math.tan,
  arctan: Math.atan, tanh: Math.tanh, floor: Math.floor, ceil: Math.ceil, trunc: Math.trunc, rint, sign: Math.sign,
  logical_not: (x) => +(x === 0), isfinite: (x) => +Number.isFinite(x), isnan: (x) => +Number.isNaN(x), positive: (x) => x,
};
const modulo = (a, b) => { const m = a % b; return m !== 0 && m < 0 !== b < 0 ? m + b : m; };
const BINARY = {
  add: (a, b) => a + b, subtract: (a, b) => a - b, multiply: (a, b) => a * b, divide: (a, b) => a / b,
  floor_divide: (a, b) => (b === 0 ? a / b : Math.round((a - modulo(a, b)) / b)), remainder: modulo,
  power: (a, b) => (a === 1 || (a === -1 && Math.abs(b) === Infinity) ? 1 : a ** b),
  maximum: (a, b) => (a !== a || b !== b ? NaN : a > b ? a : b), minimum: (a, b) => (a !== a || b !== b ? NaN : a < b ? a : b),
  less: (a, b) => +(a < b), less_equal: (a, b) => +(a <= b), greater: (a, b) => +(a > b), greater_equal: (a, b) => +(a >= b),
  equal: (a, b) => +(a === b), not_equal: (a, b) => +(a !== b), arctan2: Math.atan2, hypot: Math.hypot,
  logical_and: (a, b) => +(a !== 0 && b !== 0), logical_or: (a, b) => +(a !== 0 || b !== 0),
};
const FOLD = {
  sum: [0, (s, x) => s + x], prod: [1, (s, x) => s * x], cumsum: [0, (s, x) => s + x],
  max: [-Infinity, BINARY.maximum], min: [Infinity, BINARY.minimum],
};
const NUMBER = { inf: Infinity, "-inf": -Infinity, nan: NaN };
const number = (x) => (typeof x === "string" ? NUMBER[x] : x);

/** Compile a traced graph into a function of named inputs that returns the named outputs. */
function compile(graph) {
  const values = [], steps = [], inputs = {};
  graph.nodes.forEach(([op, ...rest], at) => {
    const fresh = (size) => (values[at] = new Float64Array(size));
    const read = (node) => values[node];
    if (op === "i") {
      inputs[rest[0]] = fresh(1);
    } else if (op === "c") {
      values[at] = Float64Array.from([].concat(rest[0]), number);
    } else if (op === "b") {
      const [a, stride, length, size] = rest, out = fresh(size), from = read(a);
      steps.push(() => { for (let i = 0; i < size; i++) out[i] = from[Math.floor(i / stride) % length]; });
    } else if (op === "t") {
      const from = read(rest[0]), index = read(rest[1]), out = fresh(index.length), last = from.length - 1;
      steps.push(() => { for (let i = 0; i < out.length; i++) out[i] = from[Math.trunc(Math.min(Math.max(index[i], 0), last))]; });
    } else if (op in FOLD) {
      const [a, outer, n, inner] = rest, [start, fold] = FOLD[op], from = read(a), running = op === "cumsum";
      const out = fresh(running ? outer * n * inner : outer * inner);
      steps.push(() => {
        for (let o = 0; o < outer; o++) for (let k = 0; k < inner; k++) {
          let s = start;
          for (let j = 0; j < n; j++) {
            const p = (o * n + j) * inner + k;
            s = fold(s, from[p]);
            if (running) out[p] = s;
          }
          if (!running) out[o * inner + k] = s;
        }
      });
    } else {
      const args = rest.map(read), size = Math.max(...args.map((v) => v.length)), out = fresh(size);
      const [a, b, c] = args, sa = +(a.length > 1), sb = +(b?.length > 1), sc = +(c?.length > 1);
      if (op === "where") {
        steps.push(() => { for (let i = 0; i < size; i++) out[i] = a[i * sa] !== 0 ? b[i * sb] : c[i * sc]; });
      } else if (op in UNARY) {
        const f = UNARY[op];
        steps.push(() => { for (let i = 0; i < size; i++) out[i] = f(a[i]); });
      } else if (op in BINARY) {
        const f = BINARY[op];
        steps.push(() => { for (let i = 0; i < size; i++) out[i] = f(a[i * sa], b[i * sb]); });
      } else throw new Error(`unknown operation ${op}`);
    }
  });
  const shaped = (flat, from, shape) => {
    if (shape.length === 0) return flat[from];
    if (shape.length === 1) return Array.from(flat.subarray(from, from + shape[0]));
    const inner = shape.slice(1).reduce((x, y) => x * y, 1);
    return Array.from({ length: shape[0] }, (_, i) => shaped(flat, from + i * inner, shape.slice(1)));
  };
  return (given) => {
    for (const [name, slot] of Object.entries(inputs)) slot[0] = given[name];
    for (const step of steps) step();
    return Object.fromEntries(Object.entries(graph.outputs).map(([name, [node, shape]]) => [name, shaped(values[node], 0, shape)]));
  };
}

/** Look the outputs up in a precomputed grid; `positions` are the controls' stops. */
function lookUp(grid, positions) {
  const at = positions.reduce((sum, p, i) => sum * grid.counts[i] + p, 0);
  return Object.fromEntries(Object.entries(grid.outputs).map(([name, all]) => [name, all[at]]));
}

// ---- numbers as words (the same as aistack/formats.py) ------------------------------------------------------------

/** Print a number by a spec: `.Nf`, `.N%`, `.Ns` or `word|word`. */
function formatNumber(value, spec = ".3s") {
  if (value === null || !Number.isFinite(value)) return "no value";
  if (spec.includes("|")) {
    const words = spec.split("|");
    return words[Math.min(Math.max(Math.trunc(value), 0), words.length - 1)];
  }
  const digits = +spec.slice(1, -1), kind = spec.at(-1);
  const grouped = (text) => {
    const [whole, rest] = text.replace("-", "").split(".");
    return (text.startsWith("-") && /[1-9]/.test(text) ? "-" : "") + whole.replace(/\B(?=(\d{3})+$)/g, ",") + (rest ? "." + rest : "");
  };
  const fixed = (x, n) => grouped(Math.abs(x) < 1e21 ? x.toFixed(n) : BigInt(x) + (n ? "." + "0".repeat(n) : ""));
  if (kind === "%") return fixed(value * 100, digits) + "%";
  if (kind === "f") return fixed(value, digits);
  if (value === 0) return "0";
  const rounded = value.toExponential(digits - 1), [mantissa, exponent] = rounded.split("e");
  if (exponent >= digits - 1) return grouped(mantissa.replace(".", "").padEnd(+exponent + 1 + (value < 0), "0"));
  return fixed(+rounded, Math.min(digits - 1 - exponent, 100));
}

/** Replace `{name:spec}` in a text by the named values. */
const fill = (text, values) =>
  text.replace(/\{(\w+)(?::([^{}]*))?\}/g, (_, name, spec) => (typeof values[name] === "string" ? values[name] : formatNumber(values[name], spec || ".3s")));

function substitute(template, results, words) {
  if (Array.isArray(template)) return template.map((t) => substitute(t, results, words));
  if (template && typeof template === "object") {
    return Object.fromEntries(Object.entries(template).map(([k, v]) => [k, substitute(v, results, words)]));
  }
  if (typeof template !== "string") return template;
  if (template.startsWith("$")) return results[template.slice(1)];
  return template.includes("{") && !template.includes("%{") ? fill(template, words) : template;
}

// ---- controls -----------------------------------------------------------------------------------------------------

/** The value a slider stands at in its position `at`. */
const slid = (c, at) =>
  at >= c.count ? c.high : c.log ? c.low * (c.high / c.low) ** (at / c.count) : Math.min(c.low + at * c.step, c.high);

/** A model of one explorer, apart from the page: positions of controls in, results and words out. */
function model(spec) {
  const run = spec.graph ? compile(spec.graph) : null;
  return (positions) => {
    const inputs = {}, shown = {};
    spec.controls.forEach((c, i) => {
      inputs[c.name] = c.kind === "choice" ? positions[i] : slid(c, positions[i]);
      shown[c.name] = c.kind === "choice" ? c.options[positions[i]] : inputs[c.name];
    });
    const results = run ? run(inputs) : lookUp(spec.grid, positions);
    const words = { ...Object.fromEntries(Object.entries(results).filter(([, v]) => !Array.isArray(v))), ...shown };
    return { results, words, figure: substitute(spec.chart, results, words), says: fill(spec.says, words) };
  };
}

// ---- drawing ------------------------------------------------------------------------------------------------------

let plotly;
const loadPlotly = () =>
  (plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("plotly-cartesian.min.js", HERE);
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error("the chart library could not be loaded"));
    document.head.append(script);
  }));

const CONFIG = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: false };

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
let look; // what the theme gives every chart; made again when the theme changes

function themed(layout) {
  if (!look) {
    const [ink, line, ground] = ["--fg", "--line", "--bg"].map(token);
    look = {
      layout: {
        font: { family: "system-ui, sans-serif", size: 12.5, color: ink }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        hoverlabel: { bgcolor: ground, bordercolor: line, font: { color: ink } }, autosize: true, dragmode: false, separators: ".,",
      },
      // automargin makes room for every label, so plotly need not measure which ones hang over
      axis: { gridcolor: line, linecolor: line, tickcolor: line, zerolinecolor: line, fixedrange: true, ticklabeloverflow: "allow" },
    };
  }
  const out = { ...look.layout, ...layout };
  for (const key of Object.keys(out)) if (/^[xy]axis\d*$/.test(key)) out[key] = { ...look.axis, ...out[key] };
  return out;
}

/** A heatmap without its empty outer rows and columns: plotly paints and packs every pixel of the ones outside the axes. */
function trimmed(trace) {
  const { x, y, z } = trace;
  if (trace.type !== "heatmap" || !x || !y || !Array.isArray(z?.[0])) return trace;
  const full = (v) => v === v && v !== null;
  const rows = z.map((row) => row.some(full)), columns = z[0].map((_, j) => z.some((row) => full(row[j])));
  const [top, left] = [rows, columns].map((has) => Math.max(has.indexOf(true), 0));
  const [bottom, right] = [rows, columns].map((has) => has.lastIndexOf(true) + 1);
  if (bottom - top < 2 || right - left < 2) return trace;
  return { ...trace, x: x.slice(left, right), y: y.slice(top, bottom), z: z.slice(top, bottom).map((row) => row.slice(left, right)) };
}

class Drawing {
  constructor(box, figure) {
    this.box = box;
    this.figure = figure;
    this.live = false;
  }

  async start() {
    if (this.live) return;
    this.live = true;
    const Plotly = await loadPlotly();
    const place = document.createElement("div");
    place.className = "chart-live";
    this.box.append(place);
    this.place = place;
    await Plotly.newPlot(place, this.figure.data.map(trimmed), themed(this.figure.layout), CONFIG);
    this.box.classList.add("is-live");
    this.box.dispatchEvent(new CustomEvent("drawn", { bubbles: true }));
  }

  /** Draw anew. While controls move, the room for labels at the left only grows: each time it changes, plotly draws twice. */
  redraw(figure = this.figure, moving = false) {
    this.figure = figure;
    if (!this.place) return undefined;
    const layout = themed(figure.layout);
    if (moving) layout.margin = { ...layout.margin, l: Math.max(layout.margin?.l ?? 0, this.place._fullLayout._size.l) };
    return window.Plotly.react(this.place, figure.data.map(trimmed), layout, CONFIG);
  }
}

function startExplorer(root, drawing) {
  const spec = JSON.parse(root.querySelector("script.chart-spec").textContent);
  const answer = model(spec);
  const inputs = spec.controls.map((c) => root.querySelector(`[name="${c.name}"]`));
  const says = root.querySelector(".explorer-says"), spoken = root.querySelector(".explorer-spoken");
  const cells = [...root.querySelectorAll(".chart-data tbody td:last-child")];
  const link = root.querySelector(".explorer-link");
  let resting = true, moved = false, quiet = 0;

  const text = (c, at) => (c.kind === "choice" ? c.options[at] : formatNumber(slid(c, at), c.spec) + (c.unit ? " " + c.unit : ""));
  const update = (moving = true) => {
    const positions = inputs.map((i) => +i.value);
    const now = answer(positions);
    spec.controls.forEach((c, i) => {
      if (c.kind !== "slider") return;
      inputs[i].setAttribute("aria-valuetext", text(c, positions[i]));
      root.querySelector(`output[for="${inputs[i].id}"]`).textContent = text(c, positions[i]);
    });
    says.textContent = now.says;
    spec.numbers.forEach(([key, , unit, format], i) => (cells[i].textContent = formatNumber(now.words[key], format) + (unit ? " " + unit : "")));
    link.href = "#" + spec.controls.map((c, i) => `${spec.name}.${c.name}=${encodeURIComponent(c.kind === "choice" ? c.options[positions[i]] : +slid(c, positions[i]).toPrecision(7))}`).join("&");
    root.classList.toggle("is-changed", spec.controls.some((c, i) => positions[i] !== c.start));
    clearTimeout(quiet);
    quiet = setTimeout(() => {
      drawing.redraw();
      if (spoken.textContent !== now.says) spoken.textContent = now.says;
    }, 600);
    Promise.resolve(drawing.redraw(now.figure, moving)).then(() => root.dispatchEvent(new CustomEvent("explored")));
  };
  const changed = () => { // at once, and then no more than once a frame
    if (!resting) { moved = true; return; }
    resting = moved = false;
    requestAnimationFrame(() => { resting = true; if (moved) changed(); });
    update();
  };
  const fromLink = () => {
    let found = false;
    for (const [key, value] of new URLSearchParams(location.hash.slice(1))) {
      const at = spec.controls.findIndex((c) => `${spec.name}.${c.name}` === key);
      if (at < 0) continue;
      const c = spec.controls[at];
      let to = c.options ? c.options.indexOf(value) : 0;
      if (!c.options) {
        const x = Math.min(Math.max(+value, c.low), c.high);
        to = Math.round((c.log ? Math.log(x / c.low) / Math.log(c.high / c.low) : (x - c.low) / (c.high - c.low)) * c.count);
      }
      if (to >= 0 && to === to) { inputs[at].value = to; found = true; }
    }
    if (found) changed();
  };
  root.addEventListener("input", changed);
  root.addEventListener("submit", (event) => event.preventDefault());
  root.querySelector(".explorer-reset").addEventListener("click", () => {
    spec.controls.forEach((c, i) => (inputs[i].value = c.start));
    update(false);
  });
  addEventListener("hashchange", fromLink);
  if (spec.controls.some((c, i) => +inputs[i].value !== c.start)) changed(); // moved before this script ran
  fromLink();
}

/** Bring a chart to life: read its figure, start its controls, load plotly. Pages hold many charts, so each waits until it is near. */
function wake(holder) {
  const script = holder.querySelector("script.chart-figure");
  if (!script || holder.drawing) return;
  const drawing = (holder.drawing = new Drawing(holder.querySelector(".chart-plot"), JSON.parse(script.textContent)));
  if (holder.classList.contains("explorer")) startExplorer(holder, drawing);
  drawing.start().catch((error) => console.warn(error.message));
}

function start() {
  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) { near.unobserve(target); wake(target); }
  }, { rootMargin: "250px 0px" });
  const holders = document.querySelectorAll(".chart");
  holders.forEach((holder) => near.observe(holder));
  const aim = () => { // a link may hold the setting of an explorer
    const holder = document.getElementById("explorer-" + /^#([\w-]+)\./.exec(location.hash)?.[1]);
    if (holder) { wake(holder); holder.scrollIntoView(); }
  };
  addEventListener("hashchange", aim);
  aim();
  const recolour = () => { look = undefined; holders.forEach((holder) => holder.drawing?.redraw()); };
  document.addEventListener("themechange", recolour);
  for (const media of ["(prefers-color-scheme: dark)", "print"]) matchMedia(media).addEventListener("change", recolour);
}

globalThis.sand = { compile, lookUp, formatNumber, fill, slid, model };
if (globalThis.document) start();
})();
