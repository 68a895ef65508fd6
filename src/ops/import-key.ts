/**
 * The key that a site may keep to sign what passes its gate, so that its Nix, daemon included, trusts nothing else. In the state
 * folder, for its owner alone.
 */
import { join } from "node:path";
import { AirgapError, fail } from "../errors.js";
import { readSmallFile, writeFileAtomic } from "../host/files.js";
import { formatSecretKey, parseSecretKey, type SecretKey } from "../nix/signature.js";
import type { SitePlace } from "./site.js";

const MAX_KEY_FILE = 4096;

export function importKeyPath({ stateDir }: SitePlace): string {
  return join(stateDir, "import-key.sec");
}

/** Null where the site keeps none. @throws KEY_INVALID, DISK where it may not be read */
export async function readImportKey(place: SitePlace): Promise<SecretKey | null> {
  const path = importKeyPath(place);
  const bytes = await readSmallFile(path, MAX_KEY_FILE);
  if (bytes === null) return null;
  try {
    return parseSecretKey(bytes.toString("latin1").replace(/\n$/, ""));
  } catch (error) {
    if (!(error instanceof AirgapError)) throw error;
    return fail("KEY_INVALID", { ...error.details, subject: path }, { cause: error });
  }
}

/** @throws DISK, NO_SPACE */
export function writeImportKey(place: SitePlace, key: SecretKey): Promise<void> {
  return writeFileAtomic(importKeyPath(place), `${formatSecretKey(key)}\n`, 0o600);
}
