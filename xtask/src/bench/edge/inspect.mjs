// Asks a running workerd about its main worker, through its inspector: `profile` prints the functions that take most time
// themselves over so many milliseconds; `heap` prints the bytes in use of the isolate's heap, garbage included.
const [question, port, time] = process.argv.slice(2);

const targets = await (await fetch(`http://127.0.0.1:${port}/json`)).json();
const main = targets.find((target) => target.id === "main") ?? targets[0];
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

await { profile, heap }[question]();
socket.close();

async function profile() {
  await call("Profiler.enable");
  await call("Profiler.setSamplingInterval", { interval: 200 });
  await call("Profiler.start");
  await new Promise((resolve) => setTimeout(resolve, Number(time)));
  const { profile } = await call("Profiler.stop");
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
}

async function heap() {
  const { usedSize } = await call("Runtime.getHeapUsage");
  console.log(usedSize);
}
