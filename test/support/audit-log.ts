/** Audit logs for tests: entries, and the chain of their lines. */
import type { AuditEntry } from "../../src/generated/types.js";
import { formatEntry, type Head, headOf, START } from "../../src/trust/audit-entry.js";

/** An entry that continues `previous`. */
export function makeEntry({ number, sha256 }: Head, given: Partial<AuditEntry> = {}): AuditEntry {
  return {
    at: "2026-02-03T04:05:06Z",
    bundle: {
      product: "pump",
      release: "1.4.0",
      sequence: 7,
      sha256: "ab".repeat(32),
      systems: ["x86_64-linux"],
      tier: "build",
    },
    details: { path: "/media/usb/pump.tar" },
    event: "verify",
    exit: 0,
    machine: "line-4",
    number: number + 1,
    policy: { sha256: "cd".repeat(32), version: 3 },
    previous: sha256,
    tools: { nix: "2.18.1", nixAirgap: "0.2.0" },
    user: { name: "root", sudoUser: "meier", uid: 0 },
    verdict: "verified",
    ...given,
  };
}

export function makeLines(entries: readonly Partial<AuditEntry>[]): Buffer[] {
  let head = START;
  return entries.map((entry) => {
    const line = formatEntry(makeEntry(head, entry));
    head = headOf(line);
    return line;
  });
}

/** So many lines, each another. */
export function someLines(count: number): Buffer[] {
  return makeLines(Array.from({ length: count }, (_, i) => ({ details: { run: String(i) } })));
}

/** What the state remembers of a log that was left alone. */
export function headAt(lines: readonly Buffer[]): Head | null {
  const last = lines.at(-1);
  return last === undefined ? null : headOf(last);
}
