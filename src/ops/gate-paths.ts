/** A verified bundle as the gate takes it. */
import { join } from "node:path";
import { narinfoOf } from "../bundle/derived.js";
import { blobName } from "../bundle/layout.js";
import type { Medium } from "../bundle/medium.js";
import { fail } from "../errors.js";
import { type Gate, type GatePath, makeGate } from "../host/gate.js";
import type { SecretKey } from "../nix/signature.js";
import type { VerifiedBundle } from "./verify/verified-bundle.js";

/** @throws AirgapError DISK, NO_SPACE, USAGE, as `makeGate` */
export function gateTo(
  { medium, document }: VerifiedBundle,
  dir: string,
  { signal, key }: { readonly signal: AbortSignal; readonly key?: SecretKey },
): Promise<Gate> {
  const paths = document.paths.map(
    (path): GatePath => ({ narInfo: narinfoOf(path), blob: fileOf(medium, path.blob) }),
  );
  return makeGate(dir, paths, {
    blobs: medium.kind === "directory" ? join(medium.path, "blobs") : null,
    signal,
    ...(key === undefined ? {} : { key }),
  });
}

function fileOf(medium: Medium, blob: string): GatePath["blob"] {
  const name = blobName(blob);
  return medium.files.get(name) ?? fail("BLOB_MISSING", { subject: name });
}
