// The state comes as server-sent events; what a person asks for by a button is timed and plotted here.

const plot = document.querySelector("request-plot");
const outcome = document.getElementById("outcome");
const announcement = document.getElementById("announcement");
const stream = document.getElementById("stream");

const text = (element, value) => {
  if (element.textContent !== String(value)) element.textContent = value;
};

let token = "";

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
  if (simulator) press("mode", simulator.payments);
}

function follow() {
  const events = new EventSource("/api/events");
  const say = (state, words) => {
    stream.dataset.stream = state;
    text(stream, words);
  };
  events.addEventListener("state", (event) => {
    say("live", "live");
    showState(JSON.parse(event.data));
  });
  events.addEventListener("error", () => say("lost", "connecting again"));
}

// Each answer tells it: RateLimit: "name";r=9;t=60

function showLimits(headers) {
  const policies = new Map(listed(headers.get("RateLimit-Policy")));
  for (const [name, { r: remaining }] of listed(headers.get("RateLimit"))) {
    const element = row("limits", name) ?? addLimit(name, policies.get(name));
    if (!element) continue;
    text(element.querySelector(".remaining"), remaining);
    element.querySelector("progress").value = remaining;
  }
}

function addLimit(name, policy) {
  const model = document.querySelector("#limits .limit");
  if (!policy || !model) return null;
  const element = model.cloneNode(true);
  const bar = element.querySelector("progress");
  const remaining = element.querySelector(".remaining");
  const label = element.querySelector("label");
  element.dataset.name = name;
  label.textContent = name;
  label.htmlFor = bar.id = `limit-${name}`;
  bar.max = policy.q;
  element.querySelector(".value").replaceChildren(remaining, ` of ${policy.q} left`);
  text(element.querySelector(".note"), `in any ${policy.w} seconds`);
  document.getElementById("limits").append(element);
  return element;
}

// The items of a structured field, as pairs of name and parameters (RFC 9651).
function listed(field) {
  return (field ?? "").split(",").filter(Boolean).map((item) => {
    const [name, ...parameters] = item.split(";").map((part) => part.trim());
    return [name.replaceAll('"', ""), Object.fromEntries(parameters.map((part) => part.split("=")))];
  });
}

const key = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

const requests = {
  orders: (number) => ["GET", `/api/orders/${1 + number % 3}`],
  checkout: (number) => ["POST", "/api/checkout", { order: 1 + number % 3 }, { "Idempotency-Key": key() }],
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
  const result = { what: `${method} ${path}`, status: 0, kind: "failed", worker: "nobody", detail: "There was no answer." };
  try {
    const answer = await send(method, path, body, headers);
    const content = await answer.json();
    Object.assign(result, { status: answer.status, kind: kindOf(answer.status), detail: content.detail });
    result.worker = answer.headers.get("X-Answered-By") ?? "Nginx";
    showLimits(answer.headers);
  } catch {
    // No answer is a result, too.
  }
  result.ms = performance.now() - began;
  plot.add(result);
  return result;
}

async function ask(what, times) {
  const began = performance.now();
  const results = await Promise.all(Array.from({ length: times }, (_, number) => askOnce(...requests[what](number))));
  const took = Math.round(performance.now() - began);
  const good = results.filter((one) => one.kind === "answered").length;
  const bad = results.find((one) => one.kind !== "answered");
  const sum = times === 1 ? `${good ? "Answered" : "Not done"} in ${took} ms.` : `${good} of ${times} answered, in ${took} ms.`;
  text(outcome, bad?.detail ? `${sum} ${bad.detail}` : sum);
}

function press(group, value) {
  for (const button of document.querySelectorAll(`button[data-${group}]`)) {
    button.setAttribute("aria-pressed", String(button.dataset[group] === value));
  }
}

async function setMode(mode) {
  const answer = await send("PUT", "/api/simulator/payments", { mode });
  if (answer.ok) press("mode", mode);
  text(outcome, answer.ok ? `The payments simulator is set to ${mode}.` : (await answer.json()).detail);
}

async function setIdentity(identity) {
  token = "";
  if (identity === "member") {
    const answer = await send("POST", "/api/session");
    const content = await answer.json();
    if (!answer.ok) return text(outcome, content.detail);
    token = content.token;
  }
  press("identity", identity);
  return text(outcome, identity === "member" ? "You are signed in: a wider limit is yours." : "You are signed out.");
}

async function act(button) {
  const { ask: what, times, mode, identity } = button.dataset;
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    if (what) await ask(what, Number(times));
    if (mode) await setMode(mode);
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
follow();
