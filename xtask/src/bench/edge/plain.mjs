// D: the same whole job in plain JavaScript: memory in front of KV, classification, click id, signed token, snapshot,
// redirect. Written as one would to be fast: no promise on the hot path, SHA-256 in place of WebCrypto (whose
// signatures come as promises, each costing more than the two blocks hashed here), prepared HMAC states, randomness
// drawn in bulk, addresses cut by hand instead of by `new URL`. Ids stay the texts that the record holds.

const TEXT = { contentType: "text" };
const FRESH = 10_000;
const links = new Map();

export default {
  fetch(request, env, ctx) {
    const now = Date.now();
    const url = request.url;
    const start = url.indexOf("://") + 3;
    const slash = url.indexOf("/", start);
    const question = url.indexOf("?", slash);
    const end = question < 0 ? url.length : question;
    const host = url.slice(start, slash).replace(/:\d+$/, "");
    const slug = url.slice(slash + 1, end);
    const query = question < 0 ? "" : url.slice(question + 1);
    const known = links.get(`${host}/${slug}`);
    if (known === undefined || now >= known.freshUntil) return load(request, env, ctx, host, slug, query, now);
    return answer(request, env, ctx, known, host, slug, query, now);
  },
};

async function load(request, env, ctx, host, slug, query, now) {
  const text = await env.LINKS.get(`l:${host}/${slug}`, { type: "text", cacheTtl: 30 });
  if (text === null) return new Response("Not Found\n", { status: 404 });
  const { version, record } = JSON.parse(text);
  // The workspace's key is derived once per reading of a record; both are rare.
  const known = { version, record, freshUntil: now + FRESH, signer: await signer(env, record.workspace) };
  links.set(`${host}/${slug}`, known);
  return answer(request, env, ctx, known, host, slug, query, now);
}

function answer(request, env, ctx, { version, record, signer }, host, slug, query, now) {
  if (record.status !== "active" || (record.expires_at !== undefined && record.expires_at <= now)) {
    return new Response("Gone\n", { status: 410 });
  }
  const headers = request.headers;
  const client = classify(headers.get("user-agent") ?? "", env);
  const purpose = `${headers.get("sec-purpose") ?? ""} ${headers.get("purpose") ?? ""} ${headers.get("x-purpose") ?? ""} ${headers.get("x-moz") ?? ""}`;
  const cf = request.cf ?? {};
  const management = cf.botManagement ?? {};
  let bot = client.bot;
  if (request.method === "HEAD") bot = "probe";
  else if (/prefetch|prerender|preview/.test(purpose)) bot = "prefetch";
  else if (management.verifiedBot || (management.score >= 1 && management.score < 30)) bot ??= "bot_management";

  const { target, utm } = record;
  let trigger = "link";
  let source = utm?.source;
  if (query !== "") {
    const asked = new URLSearchParams(query);
    if (asked.get("qr") === "1") trigger = "qr";
    source = asked.get("utm_source") || source;
  }
  const id = mint(now);
  let location = target.url;
  let token = target.token;
  if (token === "appended" && bot !== undefined) token = bot === "probe" ? "probe" : "bot";
  if (token === "appended") {
    const { at, joiner } = target.splice;
    location = `${target.url.slice(0, at)}${joiner}nim_ct=${sign(signer, id)}${target.url.slice(at)}`;
  }
  const click = JSON.stringify({
    id: typeId("clk_", id),
    workspace: record.workspace,
    link: record.link,
    domain: host,
    slug,
    destination: target.url,
    assignment: record.assignment?.id,
    partner: record.assignment?.partner,
    program: record.assignment?.program,
    trigger,
    source,
    utm,
    referrer_host: hostOf(headers.get("referer") ?? ""),
    country: cf.country,
    region: cf.region,
    city: cf.city,
    device: client.device,
    browser: client.browser,
    os: client.os,
    bot_reason: bot,
    token,
    colo: cf.colo,
    record_version: version,
    classifier: 3,
    minted: mintedAt(now),
  });
  if (env.CLICKS !== undefined) ctx.waitUntil(env.CLICKS.send(click, TEXT));
  return new Response(null, {
    status: 302,
    headers: {
      location,
      "cache-control": "private, no-store",
      "referrer-policy": "strict-origin-when-cross-origin",
    },
  });
}

// The number of a click among those of its isolate and hour.
let isolate;
const hours = [{ hour: 0, nth: 0 }, { hour: 0, nth: 0 }];

function mintedAt(now) {
  isolate ??= Math.floor(Math.random() * 2 ** 48);
  const hour = Math.floor(now / 3_600_000);
  if (hour > hours[0].hour) hours.unshift({ hour, nth: 0 });
  const counted = hour === hours[0].hour ? hours[0] : hours[1];
  counted.nth += 1;
  return { isolate, nth: counted.nth };
}

function hostOf(referrer) {
  const start = referrer.indexOf("://") + 3;
  if (start < 3) return undefined;
  let end = start;
  while (end < referrer.length && !"/?#".includes(referrer[end])) end += 1;
  const host = referrer.slice(referrer.lastIndexOf("@", end - 1) + 1 || start, end).replace(/:\d+$/, "");
  return host === "" ? undefined : host.toLowerCase();
}

// ------------------------------------------------------------------------------------------ classification
// The tables are the product's, written out by the measurement: [traits, kind of bot] by word, and stems.

let words;
let stems;
const [ANDROID, IPHONE, IPAD, WINDOWS, MACINTOSH, CROS, LINUX, MOBILE, TABLET, CHROME, SAFARI, FIREFOX, EDGE, OPERA] =
  Array.from({ length: 14 }, (_, bit) => 1 << bit);
const [SAMSUNG, YANDEX, UC, IN_APP, TV, WINDOWS_PHONE, ENGINE, COMPATIBLE, TRIDENT] = //
  Array.from({ length: 9 }, (_, bit) => 1 << (bit + 14));
const BROWSERS = [
  [IN_APP, "in_app"], [EDGE, "edge"], [OPERA, "opera"], [SAMSUNG, "samsung"], [YANDEX, "yandex"], [UC, "uc"],
  [FIREFOX, "firefox"], [CHROME, "chrome"], [SAFARI, "safari"],
];

function classify(agent, env) {
  if (words === undefined) {
    const tables = JSON.parse(env.TABLES);
    words = new Map(Object.entries(tables.words));
    stems = new RegExp(tables.stems.map(([stem]) => stem).join("|"));
    stems.kinds = new Map(tables.stems);
  }
  let seen = 0;
  let bot;
  const text = agent.slice(0, 1024).toLowerCase();
  for (const word of text.match(/[a-z0-9_-]+/g) ?? []) {
    const row = words.get(word);
    const kind = row === undefined ? builtLikeABot(word) : row[1];
    if (row !== undefined) seen |= row[0];
    if (kind !== undefined && kind !== null && (bot === undefined || kind === "preview")) bot = kind;
  }
  if (bot === undefined) {
    if (text.trim() === "") bot = "empty_agent";
    else if (/@[a-z]/.test(text)) bot = "crawler";
    else if (!(seen & ENGINE)) bot = "library";
    else if (seen & COMPATIBLE && !(seen & TRIDENT)) bot = "crawler";
  }
  const os = osOf(seen);
  return { bot, os, device: deviceOf(seen, os), browser: BROWSERS.find(([traits]) => seen & traits)?.[1] ?? "other" };
}

function builtLikeABot(word) {
  if (word.length < 3) return undefined;
  const stem = stems.exec(word);
  if (stem !== null) return stems.kinds.get(stem[0]);
  const named = word.endsWith("bot") || word.endsWith("bots") || word.startsWith("bot-");
  return named && !word.startsWith("cubot") ? "crawler" : undefined;
}

function osOf(seen) {
  if (seen & (IPHONE | IPAD)) return "ios";
  if (seen & ANDROID) return "android";
  if (seen & (WINDOWS | WINDOWS_PHONE)) return "windows";
  if (seen & MACINTOSH) return "macos";
  if (seen & CROS) return "chromeos";
  return seen & LINUX ? "linux" : "other";
}

function deviceOf(seen, os) {
  if (seen & TV) return "other";
  if (seen & (IPAD | TABLET)) return "tablet";
  if (os === "ios") return "mobile";
  if (os === "android") return seen & MOBILE ? "mobile" : "tablet";
  if (seen & (WINDOWS_PHONE | MOBILE)) return "mobile";
  return os === "other" ? "other" : "desktop";
}

// ------------------------------------------------------------------------------------------ ids and tokens

const pool = new Uint8Array(4_000);
let used = pool.length;

/** The 16 bytes of a UUIDv7. */
function mint(now) {
  if (used === pool.length) {
    crypto.getRandomValues(pool);
    used = 0;
  }
  const id = new Uint8Array(16);
  const high = Math.floor(now / 65_536);
  id[0] = high >>> 24;
  id[1] = high >>> 16;
  id[2] = high >>> 8;
  id[3] = high;
  id[4] = now >>> 8;
  id[5] = now;
  for (let at = 6; at < 16; at += 1) id[at] = pool[used++];
  id[6] = (id[6] & 0x0f) | 0x70;
  id[8] = (id[8] & 0x3f) | 0x80;
  return id;
}

const LETTERS = "0123456789abcdefghjkmnpqrstvwxyz";

/** 128 bits, right-aligned in 26 letters of 5. */
function typeId(prefix, id) {
  let text = prefix;
  let bits = 0;
  let held = 2;
  for (const byte of id) {
    bits = (bits << 8) | byte;
    held += 8;
    while (held >= 5) {
      held -= 5;
      text += LETTERS[(bits >>> held) & 31];
    }
    bits &= 31;
  }
  return text;
}

function uuidOf(typeId) {
  let value = 0n;
  for (const letter of typeId.slice(typeId.indexOf("_") + 1)) value = (value << 5n) | BigInt(LETTERS.indexOf(letter));
  return Uint8Array.from({ length: 16 }, (_, at) => Number((value >> BigInt(120 - 8 * at)) & 255n));
}

/** The prepared HMAC of a workspace: the states after the two padded keys. */
async function signer(env, workspace) {
  const [kid, secret] = env.TOKEN_SECRETS.split(",")[0].split(":");
  const utf8 = new TextEncoder();
  const info = new Uint8Array([...utf8.encode("nim_ct/v1/"), ...uuidOf(workspace)]);
  const base = await crypto.subtle.importKey("raw", utf8.encode(secret), "HKDF", false, ["deriveBits"]);
  const hkdf = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info };
  const key = new Uint8Array(await crypto.subtle.deriveBits(hkdf, base, 256));
  const state = (pad) => {
    const block = new Uint8Array(64).fill(pad);
    key.forEach((byte, at) => (block[at] ^= byte));
    return compress(START, wordsOf(block));
  };
  return { kid: Number(kid), inner: state(0x36), outer: state(0x5c) };
}

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const block = new Uint8Array(64);

function sign({ kid, inner, outer }, id) {
  const raw = new Uint8Array(30);
  raw[0] = 1;
  raw[1] = kid;
  raw.set(id, 2);
  block.fill(0);
  block.set(raw.subarray(0, 18));
  block[18] = 0x80;
  block[62] = ((64 + 18) * 8) >> 8;
  block[63] = (64 + 18) * 8;
  const hash = compress(inner, wordsOf(block));
  const last = new Int32Array(16);
  last.set(hash);
  last[8] = 1 << 31;
  last[15] = (64 + 32) * 8;
  const tag = compress(outer, last);
  for (let at = 0; at < 12; at += 1) raw[18 + at] = tag[at >> 2] >>> (24 - 8 * (at & 3));
  let token = "";
  for (let at = 0; at < 30; at += 3) {
    const three = (raw[at] << 16) | (raw[at + 1] << 8) | raw[at + 2];
    token += BASE64[three >>> 18] + BASE64[(three >>> 12) & 63] + BASE64[(three >>> 6) & 63] + BASE64[three & 63];
  }
  return token;
}

// FIPS 180-4. The constants are the first bits of the fractional parts of roots of the first primes.
const primes = [];
for (let n = 2; primes.length < 64; n += 1) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
const fraction = (root) => ((root - Math.floor(root)) * 2 ** 32) | 0;
const START = Int32Array.from(primes.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));
const ROUNDS = Int32Array.from(primes, (prime) => fraction(Math.cbrt(prime)));
const schedule = new Int32Array(64);

function wordsOf(bytes) {
  const out = new Int32Array(16);
  for (let at = 0; at < 16; at += 1) {
    out[at] = (bytes[4 * at] << 24) | (bytes[4 * at + 1] << 16) | (bytes[4 * at + 2] << 8) | bytes[4 * at + 3];
  }
  return out;
}

function compress(state, message) {
  const w = schedule;
  for (let t = 0; t < 16; t += 1) w[t] = message[t];
  for (let t = 16; t < 64; t += 1) {
    const x = w[t - 15];
    const y = w[t - 2];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[t] = (w[t - 16] + s0 + w[t - 7] + s1) | 0;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let t = 0; t < 64; t += 1) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + ROUNDS[t] + w[t]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  const out = new Int32Array(8);
  out[0] = state[0] + a;
  out[1] = state[1] + b;
  out[2] = state[2] + c;
  out[3] = state[3] + d;
  out[4] = state[4] + e;
  out[5] = state[5] + f;
  out[6] = state[6] + g;
  out[7] = state[7] + h;
  return out;
}
