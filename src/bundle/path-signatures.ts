/**
 * V7, item 7: Nix's signatures on store paths. Those by keys the verifier was given must hold; of the others
 * it is counted what they claim.
 */
import type { Finding } from "../errors.js";
import type { Path } from "../generated/types.js";
import { parseSri } from "../nix/hash.js";
import { fingerprint } from "../nix/narinfo.js";
import { type PublicKey, verifyFingerprintAside } from "../nix/signature.js";

export interface SignatureCount {
  readonly keyName: string;
  /** The key was given, and the signatures counted hold. Otherwise they are what the document claims. */
  readonly trusted: boolean;
  readonly paths: number;
}

/** Fed path by path; each signature takes 60 µs, on another thread. */
export class PathSignatures {
  readonly findings: Finding[] = [];
  readonly #keys = new Map<string, PublicKey[]>();
  readonly #counts = new Map<string, number>();
  #local = 0;

  constructor(publicKeys: readonly PublicKey[]) {
    for (const key of publicKeys) this.#keys.set(key.name, [...(this.#keys.get(key.name) ?? []), key]);
  }

  async add(path: Path): Promise<void> {
    if (path.signatures.length === 0 && path.ca === null) this.#local++;
    const names = new Set<string>();
    for (const signature of path.signatures) {
      const name = signature.slice(0, signature.indexOf(":"));
      const keys = this.#keys.get(name);
      if (keys === undefined || (await holds(path, signature, keys))) names.add(name);
      else this.findings.push({ code: "PATH_SIGNATURE", subject: path.storePath, actual: signature });
    }
    for (const name of names) this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
  }

  /** By key name, sorted; one entry also for a given key that signed nothing. */
  counts(): SignatureCount[] {
    const names = new Set([...this.#keys.keys(), ...this.#counts.keys()]);
    return [...names].sort().map((keyName) => ({
      keyName,
      trusted: this.#keys.has(keyName),
      paths: this.#counts.get(keyName) ?? 0,
    }));
  }

  /** Input-addressed paths that nobody signed: built where the bundle was packed. */
  get local(): number {
    return this.#local;
  }
}

async function holds(path: Path, signature: string, keys: readonly PublicKey[]): Promise<boolean> {
  const text = fingerprint({ ...path, narHash: parseSri(path.narHash) });
  for (const key of keys) if (await verifyFingerprintAside(text, signature, key)) return true;
  return false;
}
