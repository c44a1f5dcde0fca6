// Each operation of the API can be sent from its section, and the answer is shown below it.

const token = document.getElementById("token");

function request(form) {
  const url = new URL(location.origin);
  const options = { method: form.dataset.method, headers: {}, cache: "no-store" };
  let path = form.dataset.path;
  for (const field of form.querySelectorAll("[data-where]")) {
    const { where, type } = field.dataset;
    if (where === "path") path = path.replace(`{${field.name}}`, encodeURIComponent(field.value));
    if (where === "query" && field.value) url.searchParams.set(field.name, field.value);
    if (where === "header" && field.value) options.headers[field.name] = field.value;
    if (where === "body") Object.assign(options, { body: field.value, headers: { ...options.headers, "Content-Type": type } });
  }
  if (token.value) options.headers.Authorization = `Bearer ${token.value.trim()}`;
  url.pathname = path;
  return [url, options];
}

async function send(form) {
  const output = form.querySelector("output");
  output.hidden = false;
  output.textContent = "Sent.";
  const began = performance.now();
  try {
    const answer = await fetch(...request(form));
    const body = await answer.text();
    const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}`);
    const took = Math.round(performance.now() - began);
    output.textContent = [`${answer.status} in ${took} ms`, ...headers, "", body].join("\n");
  } catch {
    output.textContent = "There was no answer.";
  }
}

for (const form of document.querySelectorAll("form.attempt")) {
  const row = form.querySelector(".send");
  if (row) row.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (row) send(form);
  });
}
document.getElementById("token-row").hidden = false;
