/**
 * `nix path-info --json` in the shapes of three Nix versions (an array with `path` in 2.8, an object by path
 * from 2.19 on, by base name under `info` in format 2), read into one.
 */
import { fail } from "../../errors.js";
import { formatSri, parsePrefixed, parseSri } from "../../nix/hash.js";

export interface PathInfo {
  readonly storePath: string;
  /** SRI. */
  readonly narHash: string;
  /** Bytes. */
  readonly narSize: number;
  /** Full paths, sorted. */
  readonly references: readonly string[];
  readonly deriver: string | null;
  readonly ca: string | null;
  readonly signatures: readonly string[];
}

export interface StoredPathInfo extends PathInfo {
  /** Whether it was built in that store, rather than copied into it. */
  readonly ultimate: boolean;
}

/**
 * Valid paths only: what Nix names as invalid is left out.
 *
 * @throws AirgapError NIX_FAILED where the text is not what Nix prints
 */
export function parsePathInfo(text: string, storeDir: string): StoredPathInfo[] {
  const value: unknown = JSON.parse(text);
  const entries: [string, unknown][] = Array.isArray(value)
    ? value.map((entry) => [String((entry as { path?: unknown }).path), entry])
    : Object.entries(infoOf(value));
  const infos: StoredPathInfo[] = [];
  for (const [name, entry] of entries) {
    const info = readEntry(name.startsWith("/") ? name : `${storeDir}/${name}`, entry, storeDir);
    if (info) infos.push(info);
  }
  return infos;
}

function infoOf(value: unknown): object {
  if (typeof value !== "object" || value === null)
    return fail("NIX_FAILED", { subject: "nix path-info --json", actual: typeof value });
  const nested = (value as { info?: unknown }).info;
  return typeof nested === "object" && nested !== null ? nested : value;
}

function readEntry(storePath: string, entry: unknown, storeDir: string): StoredPathInfo | undefined {
  if (typeof entry !== "object" || entry === null) return undefined;
  const fields = entry as Record<string, unknown>;
  if (fields["valid"] === false || typeof fields["narHash"] !== "string") return undefined;
  const full = (path: string) => (path.startsWith("/") ? path : `${storeDir}/${path}`);
  const text = (key: string) => (typeof fields[key] === "string" && fields[key] !== "" ? fields[key] : null);
  const list = (key: string) => (Array.isArray(fields[key]) ? (fields[key] as unknown[]).map(String) : []);
  const deriver = text("deriver");
  const narHash = fields["narHash"];
  return {
    storePath,
    narHash: formatSri(narHash.includes("-") ? parseSri(narHash) : parsePrefixed(narHash)),
    narSize: Number(fields["narSize"]),
    references: list("references").map(full).sort(),
    deriver: deriver === null ? null : full(deriver),
    ca: text("ca"),
    signatures: [...new Set(list("signatures"))].sort(),
    ultimate: fields["ultimate"] === true,
  };
}
