/** The flake.lock, and where its inputs lead. JSON itself is json.ts's. */
import { formatFlakeLock, parseFlakeLock, resolveFlakeLock } from "../../../src/nix/flake-lock.js";
import { jsonValues } from "../format-mutations.js";
import type { Target } from "../fuzz.js";
import { vectors } from "../seeds.js";
import { ACCEPTED, requireLaw } from "./laws.js";
import { codes, words } from "./lists.js";
import { releases } from "./material.js";

export const flakeLock: Target = {
  name: "flake-lock",
  share: 1,
  codes: codes("FLAKE_LOCK_INVALID"),
  seeds: [
    ...vectors("locks").values(),
    ...releases.map(({ document }) => Buffer.from(document.flake.lock ?? "")),
  ],
  words: words(
    '"nodes"',
    '"root"',
    '"inputs"',
    '"locked"',
    '"original"',
    '"parent"',
    '"narHash"',
    '"type"',
    '"path"',
    '"flake": false',
    '"info": {}',
    '"version": 5',
    "[]",
    '["a","b"]',
  ),
  mutations: [jsonValues],
  run(bytes) {
    const lock = parseFlakeLock(bytes);
    const printed = formatFlakeLock(lock);
    const again = formatFlakeLock(parseFlakeLock(Buffer.from(printed)));
    requireLaw(lock.version !== 7 || again === printed, "a printed lock is read as the same lock");
    for (const { inputs, parent } of resolveFlakeLock(lock)) {
      for (const key of [...inputs.values(), ...(parent === undefined ? [] : [parent])]) {
        requireLaw(lock.nodes.has(key), "inputs lead to nodes");
      }
    }
    return ACCEPTED;
  },
};
