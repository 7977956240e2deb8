// Runs the built edge worker in workerd on this machine, for `cargo xtask up` and the end-to-end tests.
//
// `wrangler.toml` stays the one description of the worker: wrangler itself turns its top level into the
// runtime's options, and this script only lays what differs per start over it: address, secrets, storage,
// the visitor's `request.cf`. Nothing here is deployed, and no rule of the product belongs here.
//
//   node edge-worker/local/serve.mjs [--port 8787] [--host 127.0.0.1] [--persist DIR] [--cf JSON]
//                                    [--var NAME=VALUE]... [--faults] [--queues N] [--retries N] [--scans N] [--kv-api]
//
// Secrets come from the environment (TOKEN_SECRETS, EDGE_SECRETS), so that they are not in the process
// list; CONTROL_API_URL may too. `--port 0` takes a free port. Without `--persist` storage lasts as long
// as the process. A single request may bring its own `request.cf` as JSON in the header `MF-CF-Blob`.
//
// With `--faults` the worker's bindings can be made to fail, by a door of this host that the worker knows nothing of:
// `faults http://HOST:PORT` is printed before the ready line, and takes `PUT /` with `{"links", "spool", "queue",
// "centre"}`, each absent or one of the faults that `faulty.mjs` names.
//
// `GET /` of that door tells how often each was asked, `queue_1` and so on being the further queues; their faults are
// those of `queue`. `once` is `fail` for the next time alone.
//
// `--queues` shards the clicks over so many queues, as bindings in wrangler.toml would. `--retries` overrides how often a
// message is tried again before it goes to the dead-letter queue. `--scans` is how often an address may ask for unknown
// links in a minute, in place of the number of wrangler.toml.
//
// `--kv-api` serves as much of Cloudflare's API for KV as control-api uses, on the worker's LINKS: `kv http://HOST:PORT` is
// printed before the ready line.
//
// Prints `ready http://HOST:PORT` on stdout when serving; everything else goes to stderr. Ends on SIGTERM,
// on SIGINT and when stdin closes, so that a starter that was killed leaves no runtime behind.

import { createServer } from "node:http";
import { enableCompileCache } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");

const { values: args } = parseArgs({
  options: {
    port: { type: "string", default: "8787" },
    host: { type: "string", default: "127.0.0.1" },
    persist: { type: "string" },
    cf: { type: "string", default: "{}" },
    var: { type: "string", multiple: true, default: [] },
    faults: { type: "boolean", default: false },
    queues: { type: "string", default: "1" },
    retries: { type: "string" },
    scans: { type: "string" },
    "kv-api": { type: "boolean", default: false },
  },
});

// The parent holds the other end of stdin and may be gone before the imports below are done.
let stop = () => process.exit(0);
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, () => stop());
process.stdin.on("end", () => stop()).on("close", () => stop()).on("error", () => stop()).resume();

// wrangler is ten megabytes of script; compiled once is enough.
enableCompileCache(path.join(root, "node_modules/.cache/compile"));

// wrangler prints to stdout and looks for a login; neither has a place here.
process.env.WRANGLER_LOG ??= "error";
process.env.WRANGLER_SEND_METRICS = "false";
process.env.CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV = "false";
const { unstable_getMiniflareWorkerOptions } = await import("wrangler");
const { convertV4MiniflareOptions, Log, LogLevel, Miniflare, Response } = await import("miniflare");

/** Everything miniflare says belongs on stderr: stdout carries the ready line alone. */
class StderrLog extends Log {
  log(message) {
    process.stderr.write(`${message}\n`);
  }
}

/** Vars and secrets laid over those of wrangler.toml. */
function overrides() {
  const bindings = {};
  for (const name of ["CONTROL_API_URL", "TOKEN_SECRETS", "EDGE_SECRETS"]) {
    if (process.env[name]) bindings[name] = process.env[name];
  }
  for (const pair of args.var) {
    const at = pair.indexOf("=");
    if (at < 1) throw new Error(`--var ${pair}: expected NAME=VALUE`);
    bindings[pair.slice(0, at)] = pair.slice(at + 1);
  }
  return bindings;
}

const { workerOptions, main } = unstable_getMiniflareWorkerOptions(path.join(root, "wrangler.toml"));
const build = path.dirname(path.resolve(root, main));
// The rules describe files for the upload; here the two modules are named outright.
const { modulesRules: _unused, ...described } = workerOptions;

const modules = [
  { type: "ESModule", path: path.join(build, "worker.mjs") },
  { type: "CompiledWasm", path: path.join(build, "worker.wasm") },
];

const { queueProducers, queueConsumers } = described;
const first = queueProducers.CLICKS.queueName;
if (args.scans) described.ratelimits.SCANS.simple.limit = Number(args.scans);
if (args.retries) queueConsumers[first].maxRetries = Number(args.retries);
for (let n = 1; n < Number(args.queues); n += 1) {
  queueProducers[`CLICKS_${n}`] = { ...queueProducers.CLICKS, queueName: `${first}-${n}` };
  queueConsumers[`${first}-${n}`] = queueConsumers[first];
}

/** What fails now, by the name of what fails, and how often each was asked. */
let faults = {};
const asked = {};
if (args.faults) {
  modules.unshift({ type: "ESModule", path: path.join(root, "edge-worker/local/faulty.mjs") });
  const door = createServer(async (request, response) => {
    const chunks = await request.toArray();
    if (request.method === "PUT") faults = JSON.parse(Buffer.concat(chunks).toString());
    response.end(JSON.stringify(asked));
  });
  await new Promise((resolve) => door.listen(0, args.host, resolve));
  process.stdout.write(`faults http://${args.host}:${door.address().port}\n`);
}
const askFaults = async (request) => {
  const name = new URL(request.url).pathname.slice(1);
  asked[name] = (asked[name] ?? 0) + 1;
  const kind = name.split("_")[0];
  const fault = faults[kind] ?? "";
  if (fault !== "once") return new Response(fault);
  delete faults[kind];
  return new Response("fail");
};

const miniflare = new Miniflare(
  convertV4MiniflareOptions({
    host: args.host,
    port: Number(args.port),
    // An object, even an empty one, keeps miniflare from asking the network for a sample.
    cf: JSON.parse(args.cf),
    log: new StderrLog(LogLevel.WARN),
    logRequests: false,
    telemetry: { enabled: false },
    handleStructuredLogs: ({ level, message }) => process.stderr.write(`edge ${level} ${message}\n`),
    // Lets a test or a developer run the minutely job now: GET /cdn-cgi/local/scheduled.
    unsafeTriggerHandlers: true,
    resourcePersistencePath: args.persist ? path.resolve(args.persist) : undefined,
    workers: [
      {
        ...described,
        name: "edge",
        modulesRoot: path.join(root, "edge-worker"),
        modules,
        serviceBindings: args.faults ? { FAULTS: askFaults } : {},
        bindings: { ...described.bindings, ...overrides() },
      },
    ],
  }),
);

let stopping = false;
stop = async () => {
  if (stopping) return;
  stopping = true;
  // The runtime gets a moment to end by itself; a hung one must not keep the port.
  setTimeout(() => process.exit(1), 3_000).unref();
  await miniflare.dispose().catch(() => {});
  process.exit(0);
};

/** Bulk writes and reads: https://developers.cloudflare.com/api/resources/kv/subresources/namespaces/ */
async function serveKv() {
  const links = await miniflare.getKVNamespace("LINKS", "edge");
  const api = createServer(async (request, response) => {
    const asked = JSON.parse(Buffer.concat(await request.toArray()).toString());
    let result = { successful_key_count: asked.length, unsuccessful_keys: [] };
    if (request.method === "PUT") {
      await Promise.all(asked.map(({ key, value }) => links.put(key, value)));
    } else {
      result = { values: Object.fromEntries(await Promise.all(asked.keys.map(async (key) => [key, await links.get(key)]))) };
    }
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ success: true, errors: [], messages: [], result }));
  });
  await new Promise((resolve) => api.listen(0, args.host, resolve));
  process.stdout.write(`kv http://${args.host}:${api.address().port}\n`);
}

try {
  const url = await miniflare.ready;
  if (args["kv-api"]) await serveKv();
  process.stdout.write(`ready ${url.origin}\n`);
} catch (error) {
  process.stderr.write(`edge: ${error?.message ?? error}\n`);
  await stop();
}
