// The worker as it is, at bindings that can be made to fail: what `serve.mjs --faults` runs for the end-to-end tests.
//
// Faults, asked of the host before every operation:
// - of `links`, `spool` and `queue`: `fail` (the operation throws), `hang` (it takes a minute);
// - of `centre`: the same, and `filter:TEXT` (requests whose body holds TEXT are answered 403, as a filter would).

import worker from "../build/worker.mjs";

const MINUTE = 60_000;
let env;

async function fault(name) {
  const answer = await env.FAULTS.fetch(`http://faults/${name}`);
  const what = await answer.text();
  if (what === "fail") throw new Error(`${name}: away, as told`);
  if (what === "hang") await new Promise((resolve) => setTimeout(resolve, MINUTE));
  return what;
}

const bound = globalThis.fetch;
globalThis.fetch = async (url, init) => {
  const what = await Promise.race([fault("centre"), aborted(init?.signal)]);
  const text = what.startsWith("filter:") ? what.slice("filter:".length) : undefined;
  if (text !== undefined && init?.body?.includes(text)) return new Response("filtered", { status: 403 });
  return bound(url, init);
};

const aborted = (signal) =>
  new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));

function faulty(binding, name) {
  return new Proxy(binding, {
    get(target, member) {
      const value = target[member];
      if (typeof value !== "function") return value;
      return async (...given) => {
        await fault(name);
        return value.apply(target, given);
      };
    },
  });
}

function wrap(real) {
  env ??= {
    ...real,
    LINKS: faulty(real.LINKS, "links"),
    SPOOL: faulty(real.SPOOL, "spool"),
    ...Object.fromEntries(
      Object.keys(real)
        .filter((name) => name.startsWith("CLICKS"))
        .map((name) => [name, faulty(real[name], name.replace("CLICKS", "queue"))]),
    ),
  };
  return env;
}

export default {
  fetch: (request, env, ctx) => worker.fetch(request, wrap(env), ctx),
  queue: (batch, env, ctx) => worker.queue(batch, wrap(env), ctx),
  scheduled: (controller, env, ctx) => worker.scheduled(controller, wrap(env), ctx),
};
