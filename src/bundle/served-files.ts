/**
 * files.json, by which `serve` tells what there is to fetch: names of the layout's grammar only, within the caps of section 1.
 * It is not signed: what it says is compared with the document once that is.
 */
import { formatJson } from "../canonical-json.js";
import { fail } from "../errors.js";
import type { ServedFiles } from "../generated/types.js";
import { validateServedFiles } from "../generated/validators.js";
import { excerpt } from "../nix/excerpt.js";
import { firstProblem } from "../schema-problem.js";
import { parseStrictJson } from "../strict-json.js";
import { capOf, classify, DOCUMENT_NAME, MAX_APPROVALS } from "./layout.js";

/** Beside the bundle's own names, of which none is this one. */
export const FILES_NAME = "files.json";
/** Of as many files as a bundle may have. */
export const MAX_FILES_SIZE = 64 * 1024 * 1024;

/** `sizes`: by name. `sha256`: hex, of bundle.json. */
export function formatServedFiles(sha256: string, sizes: ReadonlyMap<string, number>): string {
  const files = [...sizes].map(([name, size]) => ({ name, size }));
  files.sort((a, b) => (a.name < b.name ? -1 : 1));
  return formatJson({ files, format: "nix-airgap-files", sha256 } satisfies ServedFiles);
}

/** Sizes by name. `subject`: where it came from. @throws AirgapError SERVER_ANSWER */
export function parseServedFiles(
  bytes: Uint8Array,
  subject: string,
): { readonly sha256: string; readonly sizes: ReadonlyMap<string, number> } {
  const caps = { maxBytes: MAX_FILES_SIZE, code: "SERVER_ANSWER" as const, subject };
  const value: unknown = parseStrictJson(bytes, caps);
  const refuse = (expected: string, actual: string): never =>
    fail("SERVER_ANSWER", { subject, expected, actual });
  if (!validateServedFiles(value)) {
    return refuse("the files of a bundle", firstProblem(validateServedFiles.errors));
  }
  const sizes = new Map<string, number>();
  let before = "";
  let approvals = 0;
  for (const { name, size } of value.files) {
    const kind = classify(name);
    if (kind === null) return refuse("names that a bundle has", excerpt(name));
    if (name <= before) refuse("names in their order, each once", excerpt(name));
    if (size > capOf(kind)) refuse(`${name} of at most ${capOf(kind)} bytes`, `${size}`);
    if (kind === "approval" && ++approvals > MAX_APPROVALS)
      refuse(`at most ${MAX_APPROVALS} approvals`, "more");
    sizes.set(name, size);
    before = name;
  }
  if (!sizes.has(DOCUMENT_NAME)) refuse(DOCUMENT_NAME, "no such file");
  return { sha256: value.sha256, sizes };
}
