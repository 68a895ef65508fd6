/** Approvals of a file that is no bundle: in a folder beside it, to be carried, or committed, with it. */
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { MAX_APPROVALS } from "../bundle/layout.js";
import { fail } from "../errors.js";
import { exists, readSmallFile, withDiskErrors } from "../host/files.js";
import { MAX_ENVELOPE } from "../trust/dsse.js";

/** Where approvals of a file lie. */
export function approvalsFolder(path: string): string {
  return `${path}.approvals`;
}

/** Approvals that lie beside a file, by name. @throws DISK, FILE_TOO_LARGE, TOO_MANY_FILES */
export async function readSideApprovals(path: string): Promise<Map<string, Buffer>> {
  const folder = approvalsFolder(path);
  const approvals = new Map<string, Buffer>();
  if (!(await exists(folder))) return approvals;
  const names = (await withDiskErrors(folder, () => readdir(folder))).filter((name) =>
    name.endsWith(".sigstore.json"),
  );
  if (names.length > MAX_APPROVALS) {
    fail("TOO_MANY_FILES", { subject: folder, expected: `at most ${MAX_APPROVALS}` });
  }
  for (const name of names.sort()) {
    approvals.set(`${basename(folder)}/${name}`, await readApprovalFile(join(folder, name)));
  }
  return approvals;
}

/** @throws USAGE where there is none, FILE_TOO_LARGE, DISK */
export async function readApprovalFile(path: string): Promise<Buffer> {
  const bytes =
    (await readSmallFile(path, MAX_ENVELOPE)) ??
    fail("USAGE", { subject: path, expected: "a signature, or an approval", actual: "no such file" });
  if (bytes.length > MAX_ENVELOPE) {
    fail("FILE_TOO_LARGE", { subject: path, expected: `at most ${MAX_ENVELOPE} bytes` });
  }
  return bytes;
}
