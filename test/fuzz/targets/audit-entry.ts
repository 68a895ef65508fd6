/** A line of a site's log: what is accepted prints back to the same bytes. */
import { formatEntry, parseEntry, START } from "../../../src/trust/audit-entry.js";
import { jsonValues } from "../format-mutations.js";
import type { Target } from "../fuzz.js";
import { ACCEPTED, refusalOf, requireSame } from "./laws.js";
import { codes, words } from "./lists.js";
import { jsonWords } from "./material.js";

const [NOW, SHA] = ["2026-11-25T12:00:00Z", "ab".repeat(32)];
const line = formatEntry({
  at: NOW,
  bundle: {
    product: "pump",
    release: "1.0",
    sequence: 1,
    sha256: SHA,
    systems: ["x86_64-linux"],
    tier: "build",
  },
  details: { path: "/media/pump.tar" },
  event: "verify",
  exit: 0,
  machine: "site-4",
  number: 1,
  policy: { sha256: SHA, version: 1 },
  previous: START.sha256,
  tools: { nix: "2.8.0", nixAirgap: "0.1.0" },
  user: { name: "root", sudoUser: null, uid: 0 },
  verdict: "verified",
});

export const auditEntry: Target = {
  name: "audit-entry",
  share: 0.4,
  codes: codes("AUDIT_ENTRY"),
  seeds: [line],
  words: [...jsonWords, ...words('"details":{', '"number":2', "\n", '"previous":"')],
  mutations: [jsonValues],
  run(bytes) {
    const refusal = refusalOf(() =>
      requireSame(formatEntry(parseEntry(bytes)), bytes, "an accepted entry is what we would write"),
    );
    return refusal === undefined ? ACCEPTED : [refusal];
  },
};
