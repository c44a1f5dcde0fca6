// <request-plot>: the last requests as bars, and as a table for whoever reads instead of looks.

const SHAPES = {
  answered: "answered",
  limited: "over the rate limit (429)",
  refused: "turned away for now (503)",
  failed: "failed",
};
const KEPT = 60;
const HEIGHT = 192;
const TOP = 30;
const BASE = HEIGHT - 30;
const LEFT = 46;
const SLOT = 14;
const BAR = 8;
const GRID = [[1, "1 ms"], [10, "10 ms"], [100, "100 ms"], [1000, "1 s"], [10000, "10 s"]];

const svg = (name, attributes = {}, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};

const html = (name, ...children) => {
  const element = document.createElement(name);
  element.append(...children);
  return element;
};

// Milliseconds on a logarithmic scale, from 1 ms at the bottom to 15 s at the top.
const height = (ms) => Math.max(3, (BASE - TOP) * Math.log10(Math.min(15000, Math.max(1, ms))) / Math.log10(15000));

export const milliseconds = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

const besides = ({ attempts, replayed }) => (replayed ? ", as before" : "") + (attempts > 1 ? `, at try ${attempts}` : "");

const bar = (kind, x, y, tall) => {
  const shape = [svg("rect", { class: `bar ${kind}`, x, y, width: BAR, height: tall, rx: 2 })];
  if (kind === "failed" || kind === "refused") {
    shape.push(svg("path", { class: "cross", d: `M${x + 1} ${y - 9}l6 6m0-6l-6 6` }));
  }
  return shape;
};

class RequestPlot extends HTMLElement {
  requests = [];
  workers = new Map();

  connectedCallback() {
    new ResizeObserver(() => this.requests.length && this.drawBars()).observe(this);
  }

  // A request: {what, status, kind, ms, worker, attempts, replayed}.
  add(request) {
    if (!this.workers.has(request.worker)) {
      this.workers.set(request.worker, String.fromCharCode(65 + this.workers.size % 26));
    }
    this.requests = [...this.requests, request].slice(-KEPT);
    if (!this.picture) this.build();
    this.drawBars();
    this.fillTable();
    this.fillLegend();
  }

  build() {
    this.picture = svg("svg", { role: "img", "aria-label": "" });
    this.legend = html("ul");
    this.legend.className = "legend";
    this.body = html("tbody");
    const head = html("tr", ...["Request", "Answer", "Took", "Worker"].map((text) => {
      const cell = html("th", text);
      cell.scope = "col";
      return cell;
    }));
    const scroll = html("div", html("table", html("thead", head), this.body));
    scroll.className = "scroll";
    this.replaceChildren(this.picture, this.legend, html("details", html("summary", "The last ten as a table"), scroll));
  }

  drawBars() {
    const width = this.clientWidth;
    const shown = this.requests.slice(-Math.max(1, Math.floor((width - LEFT) / SLOT)));
    const lines = GRID.flatMap(([ms, text]) => {
      const y = BASE - (ms === 1 ? 0 : height(ms));
      return [
        svg("line", { class: "grid", x1: LEFT, x2: width, y1: y, y2: y }),
        svg("text", { class: "scale", x: 0, y: y + 4 }, text),
      ];
    });
    const bars = shown.flatMap((request, index) => {
      const x = width - (shown.length - index) * SLOT + (SLOT - BAR) / 2;
      const tall = height(request.ms);
      const by = svg("text", { class: "by", x: x + BAR / 2, y: HEIGHT - 8 }, this.workers.get(request.worker));
      return [...bar(request.kind, x, BASE - tall, tall), by];
    });
    this.picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const axes = [
      svg("text", { class: "axis", x: 0, y: 12 }, "Time taken: each line is ten times the one below"),
      svg("text", { class: "axis", x: 0, y: HEIGHT - 8 }, "Worker"),
    ];
    this.picture.replaceChildren(...axes, ...lines, ...bars);
    this.picture.setAttribute("aria-label", this.summary());
  }

  summary() {
    const kinds = Object.keys(SHAPES).map((kind) => [kind, this.requests.filter((one) => one.kind === kind).length]);
    const counts = kinds.filter(([, count]) => count).map(([kind, count]) => `${count} ${SHAPES[kind]}`).join(", ");
    const slowest = Math.max(...this.requests.map((one) => one.ms));
    return `Last ${this.requests.length} requests: ${counts}; the slowest took ${milliseconds(slowest)}.`;
  }

  fillLegend() {
    const kinds = Object.keys(SHAPES).filter((kind) => this.requests.some((one) => one.kind === kind));
    const shapes = kinds.map((kind) => {
      const sample = svg("svg", { viewBox: "0 0 12 14", "aria-hidden": "true" }, ...bar(kind, 2, 4, 10));
      return html("li", sample, SHAPES[kind]);
    });
    const present = new Set(this.requests.map((one) => one.worker));
    const workers = [...this.workers].filter(([worker]) => present.has(worker));
    this.legend.replaceChildren(...shapes, ...workers.map(([worker, letter]) => html("li", `${letter} is ${worker}`)));
  }

  fillTable() {
    const rows = this.requests.slice(-10).reverse();
    this.body.replaceChildren(...rows.map((one) => html(
      "tr",
      html("td", one.what),
      html("td", `${one.status || "none"}, ${SHAPES[one.kind]}${besides(one)}`),
      html("td", milliseconds(one.ms)),
      html("td", one.worker),
    )));
  }
}

customElements.define("request-plot", RequestPlot);
