// KV namespaces on a disk, for workerd without Cloudflare: what the runtime asks of a namespace, answered from one
// folder per namespace. A value is a file, written whole or not at all.
//
// Values don't expire here: records never do, and what is in the spool is kept until the centre has taken it.

import { WorkerEntrypoint } from "cloudflare:workers";

class Namespace extends WorkerEntrypoint {
  async fetch(request) {
    const url = new URL(request.url);
    const key = decodeURIComponent(url.pathname.slice(1));
    if (key === "") return this.list(url.searchParams.get("cursor") ?? "", Number(url.searchParams.get("key_count_limit") ?? 1_000));
    const file = `http://disk/${this.folder}/${await this.nameOf(key)}`;
    switch (request.method) {
      case "GET":
        return this.env.DISK.fetch(file);
      case "PUT":
        return this.env.DISK.fetch(file, { method: "PUT", body: await request.arrayBuffer() });
      case "DELETE": {
        const removed = await this.env.DISK.fetch(file, { method: "DELETE" });
        return removed.status === 404 ? new Response(null) : removed;
      }
      default:
        return new Response(null, { status: 405 });
    }
  }

  /** Some keys after `cursor`, in their order. */
  async list(cursor, limit) {
    const folder = await this.env.DISK.fetch(`http://disk/${this.folder}/`);
    const entries = folder.ok ? await folder.json() : [];
    const isKey = ({ type, name }) => type === "file" && !name.startsWith(".") && name > cursor;
    const names = entries.filter(isKey).map((entry) => entry.name).sort();
    const keys = names.slice(0, limit).map((name) => ({ name }));
    return Response.json({ keys, list_complete: keys.length === names.length, cursor: keys.at(-1)?.name });
  }
}

/** Records, by keys that are no file names: `l:{host}/{slug}`. Never listed. */
export class Links extends Namespace {
  folder = "links";

  async nameOf(key) {
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(key));
    return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
}

/** Clicks that the centre has not taken, by keys that are file names. */
export class Spool extends Namespace {
  folder = "spool";

  async nameOf(key) {
    if (!/^[0-9a-f-]+$/.test(key)) throw new Error(`no key of the spool: ${key}`);
    return key;
  }
}

export default {
  fetch: () => new Response(null, { status: 404 }),
};
