// The state comes as server-sent events; what a person asks for by a button is timed and plotted here.

const plot = document.querySelector("request-plot");
const outcome = document.getElementById("outcome");
const announcement = document.getElementById("announcement");
const stream = document.getElementById("stream");

const text = (element, value) => {
  if (element.textContent !== String(value)) element.textContent = value;
};

let token = "";
let wanted = "anonymous";  // the identity that was clicked last; the answer to an earlier click changes nothing

// The parts that the state has: build, breakers, dependencies and simulator.

const row = (list, name) => document.querySelector(`#${list} [data-name="${CSS.escape(name)}"]`);

function showRow(list, { name, state, note }) {
  const element = row(list, name);
  if (!element) return;
  const before = element.dataset.state;
  element.dataset.state = state;
  text(element.querySelector(".value"), state);
  text(element.querySelector(".note"), note);
  if (list === "breakers" && before !== state) text(announcement, `The breaker of ${name} is ${state}.`);
}

function showState({ build, breakers, dependencies, simulator }) {
  for (const [id, value] of Object.entries(build)) text(document.getElementById(id), value);
  for (const breaker of breakers) showRow("breakers", breaker);
  for (const dependency of dependencies) showRow("dependencies", dependency);
  for (const [service, mode] of Object.entries(simulator ?? {})) press(service, mode);
}

function follow() {
  const events = new EventSource("/api/events");
  const say = (state, words) => {
    stream.dataset.stream = state;
    document.body.classList.toggle("old", state === "lost");
    text(stream, words);
  };
  events.addEventListener("state", (event) => {
    say("live", "live");
    showState(JSON.parse(event.data));
  });
  events.addEventListener("error", () => say("lost", "connecting again"));
}

// A limit as an answer tells it: RateLimit: "name";r=9;t=60 has what remains and the seconds until it is more.

const limits = document.getElementById("limits");
const model = limits.querySelector(".limit")?.cloneNode(true);

function showLimits(headers) {
  const policies = new Map(listed(headers.get("RateLimit-Policy")));
  for (const [name, { r: remaining, t: reset }] of listed(headers.get("RateLimit"))) {
    const { q: limit, w: window } = policies.get(name) ?? {};
    if (limit) showLimit({ name, limit, window, remaining, reset });
  }
}

function showLimit({ name, limit, window, remaining, reset }) {
  const element = row("limits", name) ?? addLimit(name);
  if (!element) return;
  const bar = element.querySelector("progress");
  bar.max = limit;
  bar.value = remaining;
  const left = element.querySelector(".remaining");
  text(left, remaining);
  element.querySelector(".value").replaceChildren(left, ` of ${limit} left`);
  const now = performance.now() / 1000;
  Object.assign(element.dataset, { window, more: now + Number(reset), all: now + Number(window) });
  countDown(element);
}

function addLimit(name) {
  if (!model) return null;
  const element = model.cloneNode(true);
  const bar = element.querySelector("progress");
  const label = element.querySelector("label");
  element.dataset.name = name;
  label.textContent = name;
  label.htmlFor = bar.id = `limit-${name}`;
  limits.append(element);
  return element;
}

// What is left grows when `more` has come, and all of it is back a window after the last request.
function countDown(element) {
  const now = performance.now() / 1000;
  const { window, more, all } = element.dataset;
  const bar = element.querySelector("progress");
  if (now >= all && bar.value < bar.max) {
    bar.value = bar.max;
    text(element.querySelector(".remaining"), bar.max);
  }
  const wait = Math.ceil(more - now);
  let when = "";
  if (bar.value < bar.max) when = wait > 0 ? `; more in ${wait} s` : "; more by now";
  text(element.querySelector(".note"), `in any ${Number(window)} s${when}`);
}

function countAllDown() {
  for (const element of limits.querySelectorAll(".limit")) countDown(element);
}

// The items of a structured field, as pairs of name and parameters (RFC 9651).
function listed(field) {
  return (field ?? "").split(",").filter(Boolean).map((item) => {
    const [name, ...parameters] = item.split(";").map((part) => part.trim());
    return [name.replaceAll('"', ""), Object.fromEntries(parameters.map((part) => part.split("=")))];
  });
}

const key = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

let last = null;  // check-out

const requests = {
  orders: (number) => ["GET", `/api/orders/${1 + number % 3}`],
  checkout: (number) => (last = ["POST", "/api/checkout", { order: 1 + number % 3 }, { "Idempotency-Key": key() }]),
  again: () => last,
  slow: () => ["GET", "/api/slow?seconds=1"],
  late: () => ["GET", "/api/slow?seconds=3", null, { "X-Request-Timeout-Ms": "1000" }],
};

const kindOf = (status) => {
  if (status >= 200 && status < 300) return "answered";
  return { 429: "limited", 503: "refused" }[status] ?? "failed";
};

async function send(method, path, body, headers = {}) {
  const options = { method, headers: { ...headers }, cache: "no-store" };
  if (token) options.headers.Authorization = `Bearer ${token}`;
  if (body) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  return fetch(path, options);
}

async function askOnce(method, path, body, headers) {
  const began = performance.now();
  const asker = token;
  const result = { what: `${method} ${path}`, status: 0, kind: "failed", worker: "nobody", detail: "There was no answer." };
  try {
    const answer = await send(method, path, body, headers);
    const content = await answer.json();
    Object.assign(result, { status: answer.status, kind: kindOf(answer.status), detail: content.detail });
    result.worker = answer.headers.get("X-Answered-By") ?? "Nginx";
    result.attempts = Number(answer.headers.get("X-Attempts") ?? 1);
    result.replayed = answer.headers.has("Idempotency-Replayed");
    if (token === asker) showLimits(answer.headers);  // not those of somebody one was before
  } catch {
    // No answer is a result, too.
  }
  result.ms = performance.now() - began;
  plot.add(result);
  return result;
}

const SECONDS = { 2: "second", 3: "third" };

// What became of a single request, in a sentence.
function told({ kind, attempts, replayed }, took) {
  if (kind !== "answered") return `Not done in ${took} ms.`;
  if (replayed) return `Answered in ${took} ms with the receipt of before: nothing was paid again.`;
  if (attempts > 1) return `Answered in ${took} ms, at the ${SECONDS[attempts] ?? `${attempts}th`} try.`;
  return `Answered in ${took} ms.`;
}

async function ask(what, times) {
  if (what === "again" && !last) {
    text(outcome, "There is no check-out yet whose key could be sent again: check out once.");
    return;
  }
  const began = performance.now();
  const results = await Promise.all(Array.from({ length: times }, (_, number) => askOnce(...requests[what](number))));
  const took = Math.round(performance.now() - began);
  const good = results.filter((one) => one.kind === "answered").length;
  const bad = results.find((one) => one.kind !== "answered");
  const retried = results.filter((one) => one.attempts > 1).length;
  const more = retried ? ` ${retried} needed more than one try.` : "";
  const sum = times === 1 ? told(results[0], took) : `${good} of ${times} answered, in ${took} ms.${more}`;
  text(outcome, bad?.detail ? `${sum} ${bad.detail}` : sum);
}

// Of the buttons of a simulated service, or of an identity, one is pressed.
function press(group, value) {
  const buttons = document.querySelectorAll(`button[data-service="${group}"], button[data-${group}]`);
  for (const button of buttons) {
    button.setAttribute("aria-pressed", String((button.dataset.mode ?? button.dataset[group]) === value));
  }
}

async function setMode(service, mode, times, words) {
  const answer = await send("PUT", `/api/simulator/${service}`, { mode, times: times || null });
  if (answer.ok) press(service, mode);
  text(outcome, answer.ok ? `From now on: ${words}.` : (await answer.json()).detail);
}

async function lock(seconds) {
  text(outcome, `Nobody gets at the tables for ${seconds} s: check out meanwhile, and fetch orders.`);
  const answer = await send("POST", "/api/simulator/database", { seconds });
  text(outcome, answer.ok ? "The tables are free again." : (await answer.json()).detail);
}

// Whoever one is now has limits of their own.
async function showOwnLimits() {
  const asker = token;
  const answer = await send("GET", "/api/status");
  if (!answer.ok || token !== asker) return;
  limits.replaceChildren();
  (await answer.json()).limits.forEach(showLimit);
}

async function setIdentity(identity) {
  token = "";
  wanted = identity;
  if (identity === "member") {
    const answer = await send("POST", "/api/session");
    const content = await answer.json();
    if (wanted !== identity) return;
    if (!answer.ok) {
      text(outcome, content.detail);
      return;
    }
    token = content.token;
  }
  press("identity", identity);
  await showOwnLimits();
  if (wanted !== identity) return;
  text(outcome, identity === "member" ? "You are signed in: a wider limit is yours." : "You are signed out.");
}

async function act(button) {
  const { ask: what, times, service, mode, identity, lock: seconds } = button.dataset;
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    if (what) await ask(what, Number(times));
    if (mode) await setMode(service, mode, Number(times), button.getAttribute("aria-label"));
    if (seconds) await lock(Number(seconds));
    if (identity) await setIdentity(identity);
  } catch {
    text(outcome, "There was no answer.");
  } finally {
    button.removeAttribute("aria-busy");
  }
}

document.getElementById("controls").hidden = false;
document.getElementById("controls").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) act(button);
});
for (const element of limits.querySelectorAll(".limit")) {
  const { name, window, reset } = element.dataset;
  const { max: limit, value: remaining } = element.querySelector("progress");
  showLimit({ name, limit, window, remaining, reset });
}
setInterval(countAllDown, 1000);
follow();
