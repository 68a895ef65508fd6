/** What must come of an attack on a site: both verbs say no with the same codes, and nothing is begun. */
import { expect } from "vitest";
import type { Code } from "../../src/errors.js";
import { type Site, verdictOf } from "../support/site-trust.js";

/** `codes`: of all findings, each once; the exit is that of a question of trust. */
export async function expectRefused(
  site: Site,
  bundle: string,
  codes: readonly Code[],
  ...more: readonly string[]
): Promise<void> {
  const sorted = [...codes].sort();
  const before = JSON.stringify(site.state.products);
  const verified = await site.verify(bundle, ...more);
  expect(verdictOf(verified), JSON.stringify(verified.json, null, 1)).toEqual([12, ...sorted]);
  const restored = await site.restore(bundle, ...more);
  expect(verdictOf(restored), JSON.stringify(restored.json, null, 1)).toEqual([12, ...sorted]);
  expect(restored.json.verdict).toBe("refused");
  expect(site.isStoreEmpty).toBe(true);
  expect(JSON.stringify(site.state.products)).toBe(before);
}

/** The same, of a bundle that is fine. */
export async function expectVerified(site: Site, bundle: string, ...more: readonly string[]): Promise<void> {
  const verified = await site.verify(bundle, ...more);
  expect(verdictOf(verified), JSON.stringify(verified.json, null, 1)).toEqual([0]);
  expect(verified.json.verdict).toBe("verified");
}
