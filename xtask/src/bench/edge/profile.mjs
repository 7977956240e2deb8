// Samples a running workerd through its inspector and prints the functions that take most time themselves.
const [port, time] = process.argv.slice(2).map(Number);

const [target] = await (await fetch(`http://127.0.0.1:${port}/json`)).json();
const targets = await (await fetch(`http://127.0.0.1:${port}/json`)).json();
const main = targets.find((candidate) => candidate.id === "main") ?? target;
const socket = new WebSocket(main.webSocketDebuggerUrl);
await new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: reject }));

let calls = 0;
const waiting = new Map();
socket.onmessage = ({ data }) => {
  const { id, result } = JSON.parse(data);
  waiting.get(id)?.(result);
};
const call = (method, params = {}) =>
  new Promise((resolve) => {
    calls += 1;
    waiting.set(calls, resolve);
    socket.send(JSON.stringify({ id: calls, method, params }));
  });

await call("Profiler.enable");
await call("Profiler.setSamplingInterval", { interval: 200 });
await call("Profiler.start");
await new Promise((resolve) => setTimeout(resolve, time));
const { profile } = await call("Profiler.stop");
socket.close();

const name = ({ functionName, url, lineNumber }) => `${functionName || "(anonymous)"} ${url.split("/").pop()}:${lineNumber + 1}`;
const self = new Map();
const names = new Map(profile.nodes.map((node) => [node.id, name(node.callFrame)]));
let total = 0;
profile.samples.forEach((sample, at) => {
  const spent = profile.timeDeltas[at];
  total += spent;
  self.set(names.get(sample), (self.get(names.get(sample)) ?? 0) + spent);
});
for (const [name, spent] of [...self].sort((a, b) => b[1] - a[1]).slice(0, 16)) {
  console.log(`${((100 * spent) / total).toFixed(1).padStart(6)} %  ${name}`);
}
