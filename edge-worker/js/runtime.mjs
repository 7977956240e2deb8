// What the worker asks of its runtime while a visitor or a batch waits: one function per need, so that each costs one
// crossing from the wasm module and one back. No decisions here.

/** A var or secret; undefined where there is none. */
export const setting = (env, name) => (typeof env[name] === "string" ? env[name] : undefined);

/** The text stored under a key, or null. Rejects after `limit` milliseconds. */
export const read = async (env, key, cacheTtl, limit) => within(limit, env.LINKS.get(key, { type: "text", cacheTtl }));

/** The text stored under a key as the store has it now, or null. */
export const readThrough = async (env, key) => env.LINKS.get(key, "text");

export const write = async (env, key, text) => env.LINKS.put(key, text);

/** Counts one for a key, and tells whether it is one too many; never, where nothing limits that. */
export const exceeds = async (env, key) => env.SCANS !== undefined && !(await env.SCANS.limit({ key })).success;

/** Puts a text into the spool, for so many seconds. A store that hangs is as good as one that refuses. */
export const spool = async (env, key, text, expirationTtl) => within(5_000, env.SPOOL.put(key, text, { expirationTtl }));

/** A page of the spool's keys: the cursor behind which there are more, or an empty line; then a key per line. */
export async function spooled(env, limit, cursor) {
  const page = await within(10_000, env.SPOOL.list({ limit, cursor: cursor || undefined }));
  return [page.list_complete ? "" : page.cursor, ...page.keys.map((key) => key.name)].join("\n");
}

export const unspool = async (env, key) => within(10_000, env.SPOOL.get(key, "text"));

export const unspooled = async (env, key) => within(10_000, env.SPOOL.delete(key));

export const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

/** Sends a request; resolves to its status, a newline and its body. */
export async function send(method, url, headers, body, limit) {
  const response = await fetch(url, {
    method,
    headers: pairs(headers),
    body,
    // Signed for one door; a redirect would carry the signature elsewhere.
    redirect: "manual",
    signal: AbortSignal.timeout(limit),
  });
  // The body is read in any case: that frees the connection.
  return `${response.status}\n${await response.text()}`;
}

export const header = (request, name) => request.headers.get(name) ?? undefined;

/** The bytes of a request's body; undefined once they prove to be more than `limit`. */
export async function body(request, limit) {
  const chunks = [];
  let length = 0;
  for await (const chunk of request.body ?? []) {
    length += chunk.length;
    if (length > limit) return undefined;
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

/** Headers from lines of `name: value`. */
export function pairs(lines) {
  const cut = (line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()];
  return lines.split("\n").filter((line) => line !== "").map(cut);
}

async function within(limit, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("timeout")), limit);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
