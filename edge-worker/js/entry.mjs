// The worker's entry: between the runtime's objects and the wasm module.
//
// Here live the gathering of a request's facts, the making of a redirect and the hand-over of a click to the
// queue. What to answer is decided in Rust.
//
// A link in memory costs one call into the module, and its response is returned at once, not as a promise. The texts of
// both directions lie in the module's memory (`state/buffers.rs`).

import * as wasm from "../build/glue/index.js";
import { pairs } from "./runtime.mjs";

const TEXT = { contentType: "text" };
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

export default {
  fetch(request, env, ctx) {
    if (trap) revive();
    const facts = factsOf(request);
    let packed = "";
    try {
      packed = hot(facts);
    } catch (error) {
      // The visitor gets a second chance with a new instance.
      nimTrapped(error);
      revive();
    }
    return packed === "" ? visit(request, facts, env, ctx) : redirect(packed, env, ctx);
  },

  queue(batch, env) {
    if (trap) revive();
    return wasm.consume(batch.messages, batch.queue, env);
  },

  async scheduled(_controller, env) {
    if (trap) revive();
    kept = await wasm.drain(env);
  },
};

// A panic in Rust, like any trap, leaves an instance that must not be used again. The module's panic hook calls this;
// the glue looks after its instance too, but only once it has written the arguments of a call into the old one's
// memory, so the look has to come before.
let trap = false;
globalThis.nimTrapped = (why) => {
  console.error("trapped", why);
  trap = true;
};

// Traps in a task come out nowhere else.
addEventListener("error", (event) => {
  if (event.error instanceof WebAssembly.RuntimeError) nimTrapped(event.error);
});

/** Starts a new instance, with an empty memory, in place of one that has trapped. */
function revive() {
  trap = false;
  wasm.__wbg_reset_state();
  memory = new Uint8Array(0);
}

// The module's memory, and the part of it that is the inbox. Both go stale when the memory grows.
let memory = new Uint8Array(0);
let inbox = memory;

/** The packed redirect of a link in memory; empty where memory alone can't tell. */
function hot(facts) {
  if (memory.length === 0) look();
  const length = wasm.hot(post(facts), Date.now());
  if (length === 0) return "";
  if (memory.length === 0) look();
  const at = wasm.outbox();
  return decoder.decode(memory.subarray(at, at + length));
}

/** Writes facts into the inbox and returns their length in bytes; 0, which are no facts, where they don't fit. */
function post(facts) {
  const end = facts.length;
  if (end > inbox.length) return 0;
  // Nearly all facts are ASCII; for their length this is faster than a call into the runtime.
  for (let at = 0; at < end; at += 1) {
    const code = facts.charCodeAt(at);
    if (code > 0x7f) {
      const { read, written } = encoder.encodeInto(facts, inbox);
      return read === end ? written : 0;
    }
    inbox[at] = code;
  }
  return end;
}

function look() {
  // First, for it may make the memory grow.
  const at = wasm.inbox();
  memory = new Uint8Array(wasm.linear_memory().buffer);
  inbox = memory.subarray(at, at + wasm.inbox_length());
}

async function visit(request, facts, env, ctx) {
  const packed = await wasm.visit(request, facts, env);
  return packed.startsWith("\n") ? respond(packed) : redirect(packed, env, ctx);
}

/** A response from its packed form: an empty line, the status, headers line by line, an empty line, the body. */
function respond(packed) {
  const end = packed.indexOf("\n\n");
  const status = packed.slice(1, packed.indexOf("\n", 1));
  const headers = pairs(packed.slice(status.length + 2, end));
  return new Response(packed.slice(end + 2), { status: Number(status), headers });
}

/** The facts of a request, one per line, in the order in which `wire/facts.rs` reads them. */
function factsOf(request) {
  const headers = request.headers;
  const cf = request.cf ?? {};
  const bot = cf.botManagement ?? {};
  return `${request.method}
${request.url}
${headers.get("user-agent") ?? ""}
${headers.get("referer") ?? ""}
${headers.get("sec-purpose") ?? ""} ${headers.get("purpose") ?? ""} ${headers.get("x-purpose") ?? ""} ${headers.get("x-moz") ?? ""}
${cf.country ?? ""}
${cf.region ?? ""}
${cf.city ?? ""}
${cf.colo ?? ""}
${bot.score ?? ""}
${bot.verifiedBot ?? ""}`;
}

/** A redirect from its packed form: location, newline, click; no click where the redirect isn't one. */
function redirect(packed, env, ctx) {
  const end = packed.indexOf("\n");
  const click = packed.slice(end + 1);
  if (click !== "") handOver(click, env, ctx);
  return new Response(null, {
    status: 302,
    headers: {
      location: packed.slice(0, end),
      "cache-control": "private, no-store",
      "referrer-policy": "strict-origin-when-cross-origin",
    },
  });
}

// Whether the module keeps clicks that nobody has taken yet.
let kept = false;

/** Gives a click to a queue; what the queue refuses goes to the centre directly, or into the spool. */
function handOver(click, env, ctx) {
  const refused = async (error) => {
    if (trap) revive();
    kept = true;
    kept = await wasm.rescue(click, error === undefined ? "" : String(error), env);
  };
  const queue = queueOf(env);
  try {
    ctx.waitUntil(queue === undefined ? refused() : queue.send(click, TEXT).then(undefined, refused));
  } catch (error) {
    ctx.waitUntil(refused(error));
  }
  if (kept) ctx.waitUntil(again(env));
}

/** Tries once more to be rid of what is kept. */
async function again(env) {
  if (trap) revive();
  kept = await wasm.hand_over(env);
}

let queues;

/** One of the queues: CLICKS, and as many of CLICKS_1, CLICKS_2 and so on as are bound without a gap. */
function queueOf(env) {
  if (queues === undefined) {
    queues = [];
    for (let name = "CLICKS"; env[name] !== undefined; name = `CLICKS_${queues.length}`) queues.push(env[name]);
  }
  return queues.length > 1 ? queues[(Math.random() * queues.length) | 0] : queues[0];
}
