// Classifies the public lists of agents that the tests use, and prints how long one takes.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { bots } = createRequire(import.meta.url)("./glue/agents.js");
const read = (file) => readFileSync(`${process.argv[2]}/${file}`, "utf8");
const list = (file) => JSON.parse(read(file));
const top = (name) => list(`top-user-agents/src/${name}.json`);

const lists = {
  "browsers": [
    ...list("user-agents/dist/user-agents.json").map((entry) => entry.userAgent),
    ...["index", "desktop", "mobile"].flatMap(top),
  ],
  "crawlers": list("crawler-user-agents/crawler-user-agents.json").flatMap((entry) => entry.instances),
  "isbot's crawlers": read("isbot/crawlers.txt").split("\n"),
};

/** Microseconds that one agent takes: the middle one of several tries, after one that compiles. */
function micros(agents, rounds) {
  const text = agents.join("\n");
  const tries = Array.from({ length: 8 }, () => {
    const began = performance.now();
    bots(text, rounds);
    return ((performance.now() - began) * 1000) / rounds / agents.length;
  });
  return tries.slice(1).sort((a, b) => a - b)[3];
}

for (const [name, all] of Object.entries(lists)) {
  const agents = [...new Set(all.filter((agent) => agent !== ""))];
  const mean = micros(agents, 30);
  const slowest = Math.max(...agents.map((agent) => micros([agent], 60)));
  console.log(`${name.padEnd(18)} ${agents.length} agents: ${mean.toFixed(2)} µs each, the slowest ${slowest.toFixed(2)} µs (at most 10)`);
}
