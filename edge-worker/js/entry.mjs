// The worker's entry: between the runtime's objects and the wasm module.
//
// Here live the gathering of a request's facts, the making of a redirect and the hand-over of a click to the
// queue. What to answer is decided in Rust.
//
// A link in memory costs one call into the module and one string out of it, and its response is returned at once,
// not as a promise.

import * as wasm from "../build/glue/index.js";

const TEXT = { contentType: "text" };

export default {
  fetch(request, env, ctx) {
    revive();
    const facts = factsOf(request);
    let packed = "";
    try {
      packed = wasm.hot(facts, Date.now());
    } catch (error) {
      // The visitor gets a second chance with a new instance.
      trapped(error);
      revive();
    }
    return packed === "" ? visit(request, facts, env, ctx) : redirect(packed, env, ctx);
  },

  queue(batch, env) {
    revive();
    return wasm.consume(batch.messages, env);
  },
};

// A panic in Rust, like any trap, leaves an instance that must not be used again. The `worker` crate's panic hook
// sets this flag. The glue looks after its instance too, but only once it has written the arguments of a call
// into the old one's memory; so the look has to come before.
const state = wasm.__worker_init_state();

// Traps in a task come out nowhere else.
addEventListener("error", (event) => {
  if (event.error instanceof WebAssembly.RuntimeError) trapped(event.error);
});

function trapped(error) {
  console.error("trapped", error);
  state.criticalError = true;
}

/** Starts a new instance, with an empty memory, in place of one that has trapped. */
function revive() {
  if (!state.criticalError) return;
  state.criticalError = false;
  wasm.__wbg_reset_state();
}

async function visit(request, facts, env, ctx) {
  const answer = await wasm.visit(request, facts, env);
  return typeof answer === "string" ? redirect(answer, env, ctx) : answer;
}

/** The facts of a request, one per line, in the order in which `facts.rs` reads them. */
function factsOf(request) {
  const headers = request.headers;
  const cf = request.cf ?? {};
  const bot = cf.botManagement ?? {};
  return `${request.method}
${request.url}
${headers.get("user-agent") ?? ""}
${headers.get("referer") ?? ""}
${headers.get("sec-purpose") ?? ""} ${headers.get("purpose") ?? ""} ${headers.get("x-moz") ?? ""}
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

/** Gives a click to the queue; what the queue refuses goes to the centre directly. */
function handOver(click, env, ctx) {
  const refused = (error) => {
    revive();
    return wasm.rescue(click, String(error), env);
  };
  try {
    ctx.waitUntil(env.CLICKS.send(click, TEXT).then(undefined, refused));
  } catch (error) {
    ctx.waitUntil(refused(error));
  }
}
