/**
 * The gate: a binary cache made for one import. Its narinfos come from the document and are signed by the site's key, or by one that
 * lives as long as the gate, while the NARs' bytes still come from the medium; so Nix, which keeps asking for signatures,
 * hashes what it really reads and takes nothing else. What to import, and whether to, is the caller's business.
 */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fail } from "../errors.js";
import { fingerprint, formatNarInfo, type NarInfo } from "../nix/narinfo.js";
import { formatPublicKey, generateSecretKey, type SecretKey, signFingerprint } from "../nix/signature.js";
import { parseStorePath } from "../nix/store-path.js";
import type { FilePart } from "../segments.js";
import { removeTree, withDiskErrors } from "./files.js";
import type { SchedulePath } from "./import-schedule.js";
import { type OnStaged, Staging, type TarBlob } from "./staging.js";
import { inTurns } from "./turns.js";

export interface GatePath {
  readonly narInfo: NarInfo;
  /** Where the blob's bytes lie: in a file of its own, in a tar, or in parts of one. */
  readonly blob: FilePart;
}

export interface Gate {
  /** For `nix copy --from`, and as a substituter. */
  readonly url: string;
  /** For `trusted-public-keys`. */
  readonly publicKey: string;
  /** What an import of these paths has to know of them; a blob that several share is counted for each. */
  schedulePaths(storePaths: readonly string[]): SchedulePath[];
  /**
   * Makes these paths ready to be imported. `onStaged` hears how much of a blob, by its hex SHA-256, was copied out of a tar.
   *
   * @throws AirgapError DISK, NO_SPACE, INTERRUPTED; BLOB_SIZE of a tar that became shorter
   */
  stage(storePaths: readonly string[], onStaged?: OnStaged): Promise<void>;
  /** Takes away what was copied for paths that were staged, once for each time. @throws AirgapError DISK */
  unstage(storePaths: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

/**
 * Makes a gate in `dir`, which must not exist. `paths`: the whole closure of what will be imported. `blobs`: the folder
 * whose `sha256/<hex>` are the blobs; null for a tar, from which they are copied. `key`: the site's, which its daemon trusts.
 *
 * @throws AirgapError DISK, NO_SPACE; USAGE where Nix cannot be told of such a folder
 */
export async function makeGate(
  dir: string,
  paths: readonly GatePath[],
  {
    blobs,
    signal,
    key = generateSecretKey(`nix-airgap-import-${randomBytes(8).toString("hex")}`),
  }: { readonly blobs: string | null; readonly signal: AbortSignal; readonly key?: SecretKey },
): Promise<Gate> {
  if (!isUrlSafe(dir)) {
    fail("USAGE", { subject: dir, hint: "Set TMPDIR to a folder of letters, digits and ._+@,- only." });
  }
  await withDiskErrors(dir, async () => {
    await mkdir(dir);
    // Nix makes these in every cache that it opens.
    for (const name of ["log", "nar", "realisations"]) await mkdir(join(dir, name));
    await writeFile(join(dir, "nix-cache-info"), "StoreDir: /nix/store\n");
    if (blobs === null) await mkdir(join(dir, "blobs/sha256"), { recursive: true });
    else await symlink(blobs, join(dir, "blobs"));
  });
  const byPath = new Map(paths.map((path) => [path.narInfo.storePath, path]));
  const pathsOf = (storePaths: readonly string[]) => storePaths.map((name) => byPath.get(name)!);
  const staging = blobs === null ? new Staging(join(dir, "blobs/sha256"), signal) : null;
  return {
    url: `file://${dir}`,
    publicKey: formatPublicKey(key.publicKey),
    schedulePaths: (storePaths) =>
      pathsOf(storePaths).map(({ narInfo: { storePath, narSize, references }, blob }) => {
        return { storePath, narSize, references, stagedBytes: staging === null ? 0 : blob.size };
      }),
    async stage(storePaths, onStaged = () => {}) {
      const batch = pathsOf(storePaths);
      await withDiskErrors(dir, () => inTurns(batch, ({ narInfo }) => writeNarInfo(dir, narInfo, key)));
      await staging?.add(batch.map(blobOf), onStaged);
    },
    unstage: async (storePaths) => staging?.drop(pathsOf(storePaths).map(blobOf)),
    close: () => removeTree(dir),
  };
}

/** Whether a folder can be named in a `file://` URL as it is: Nix versions disagree on what escapes mean there. */
export function isUrlSafe(dir: string): boolean {
  return /^[\w./+@,-]+$/.test(dir);
}

/** Content-addressed paths need no signature: their name says what they hold. */
export function signed(narInfo: NarInfo, key: SecretKey): NarInfo {
  if (narInfo.ca !== undefined) return narInfo;
  return { ...narInfo, signatures: [...narInfo.signatures, signFingerprint(fingerprint(narInfo), key)] };
}

function blobOf({ narInfo, blob }: GatePath): TarBlob {
  return { ...blob, name: basename(narInfo.url) };
}

function writeNarInfo(dir: string, narInfo: NarInfo, key: SecretKey): void {
  const name = `${parseStorePath(narInfo.storePath).hashPart}.narinfo`;
  writeFileSync(join(dir, name), formatNarInfo(signed(narInfo, key)));
}
