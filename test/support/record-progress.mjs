// Records how phases went on this machine, for test/cli/progress-truth.test.ts. After `npm run build`:
//   node test/support/record-progress.mjs NAME verify|restore|rebuild BUNDLE PUBLIC-KEY [STORE]
//   node test/support/record-progress.mjs NAME pack FLAKE SECRET-KEY-FILE OUT
// writes test/vectors/progress/NAME-PHASE.json for each phase that forecasts, and took long enough to be worth one. Those
// that are there: one path of 3.9 GB beside 5,000 of some 50 kB (mixed), 2,000 of up to 0.5 GB beside one that holds all of
// them (even), 16,000 of some 6 kB (small), of libraries and programs, with Nix 2.8 on two idle processors; pack and restore
// in /dev/shm: no forecast knows when a disk will make its writers wait.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { nodeContext, pack, parseSecretKey, parseTrustedKey, rebuild, restore, verify } from "nix-airgap";

const MIN_MS = 3500;
const MAX_POINTS = 200;

const [name, operation, subject, key, place] = process.argv.slice(2);
const began = performance.now();
const recorded = [];
const report = (event) => recorded.push([Math.round(performance.now() - began), event]);
const context = nodeContext({ report });

async function run() {
  if (operation === "pack") {
    const secretKey = parseSecretKey(readFileSync(key, "utf8").trim());
    return pack({ installables: [subject], out: place, tier: "runtime", dryRun: false, secretKey }, context);
  }
  const common = { publicKeys: [parseTrustedKey(key, "recorder")], sandboxPaths: [], dryRun: false };
  if (operation === "restore") return restore(subject, { ...common, store: place }, context);
  if (operation === "rebuild") return rebuild(subject, { ...common, keepFailed: false }, context);
  return verify(
    subject,
    { ...common, integrityOnly: false, documentOnly: false, allowExtra: false },
    context,
  );
}

/** The last of each 200th of the time: `[ms, items, bytes, share]`. */
function thinned(points, start, end) {
  const kept = new Map();
  for (const [at, { items, bytes, share }] of points) {
    const point = [at - start, items, bytes, Number(share.toFixed(5))];
    kept.set(Math.floor(((at - start) / (end - start)) * MAX_POINTS), point);
  }
  return [...kept.values()];
}

const { exit } = await run();
for (const [start, { type, phase, items, bytes }] of recorded) {
  if (type !== "phase.started") continue;
  const own = recorded.filter(([at, event]) => event.phase === phase && at >= start);
  const end = own.find(([, event]) => event.type === "phase.finished")?.[0];
  const points = own.filter(([at, event]) => event.share !== undefined && at <= end);
  if (end === undefined || end - start < MIN_MS || points.length < 20) continue;
  const file = new URL(`../vectors/progress/${name}-${phase.replaceAll(" ", "-")}.json`, import.meta.url);
  const trace = { phase, items, bytes, ms: end - start, points: thinned(points, start, end) };
  writeFileSync(file, `${JSON.stringify(trace).replaceAll("],[", "],\n[")}\n`);
  console.log(fileURLToPath(file), trace.points.length);
}
process.exitCode = exit;
