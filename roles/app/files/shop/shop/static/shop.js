// Fills the page with who answered, and shows that a WebSocket passes through Nginx.
const show = (id, text) => { document.getElementById(id).textContent = text; };

fetch("/api/build")
  .then((answer) => answer.json())
  .then((build) => Object.entries(build).forEach(([id, text]) => show(id, text)))
  .catch(() => show("release", "no answer"));

const scheme = location.protocol === "https:" ? "wss" : "ws";
const socket = new WebSocket(`${scheme}://${location.host}/ws/echo`);
socket.onopen = () => socket.send("connected");
socket.onmessage = (message) => { show("socket", message.data); socket.close(); };
socket.onerror = () => show("socket", "not connected");
