/**
 * What to do about paths that a store calls valid though their bytes are wrong: never overwritten by us, but one command of
 * Nix's own away from being right again. For it a small gate is kept, whose key nobody has any more.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { shellCommand } from "../../bundle/site-commands.js";
import type { Finding } from "../../errors.js";
import { makeTempDir, removeTree, withDiskErrors } from "../../host/files.js";
import { isUrlSafe } from "../../host/gate.js";
import { maxStaged, type SchedulePath } from "../../host/import-schedule.js";
import type { NixContext } from "../../host/nix/index.js";
import type { TargetStore } from "../../host/store.js";
import type { Context } from "../context.js";
import { gateTo } from "../gate-paths.js";
import type { VerifiedBundle } from "../verify/verified-bundle.js";

interface Repair {
  readonly bundle: VerifiedBundle;
  readonly store: TargetStore;
  readonly nix: NixContext;
  readonly context: Context;
}

/** The folder in the store's state that holds the gate until the next restore. */
const FOLDER = "repair";

/** The same findings, with the command that repairs each as its hint. @throws AirgapError DISK, NO_SPACE */
export async function withRepair(
  findings: readonly Finding[],
  { bundle, store, nix, context }: Repair,
): Promise<Finding[]> {
  const parent = isUrlSafe(store.keptDir)
    ? store.keptDir
    : await makeTempDir("nix-airgap-repair-", context.tmpDir);
  const dir = join(parent, FOLDER);
  await removeTree(dir);
  await withDiskErrors(parent, () => mkdir(parent, { recursive: true }));
  const gate = await gateTo(bundle, dir, context);
  const wrong = findings.flatMap(({ subject }) => (subject === undefined ? [] : [subject]));
  // Of a tar only as much is copied as an import would copy; the next run offers the rest.
  const offered = fitting(gate.schedulePaths(wrong));
  await gate.stage(offered);
  const buildUsers = nix.options["build-users-group"];
  const settings = {
    ...(buildUsers === undefined ? {} : { "build-users-group": buildUsers }),
    "require-sigs": "true",
    substitute: "true",
    substituters: gate.url,
    "trusted-public-keys": gate.publicKey,
  };
  // A daemon repairs nothing.
  const [by, uri] = store.kind === "daemon" ? ["root runs", "local"] : ["run", store.uri];
  const command = (path: string) =>
    shellCommand([
      ...["nix-store", "--store", uri],
      ...Object.entries(settings).flatMap(([name, value]) => ["--option", name, value]),
      ...["--repair-path", path],
    ]);
  return findings.map((finding) =>
    finding.subject !== undefined && offered.includes(finding.subject)
      ? { ...finding, hint: `Nothing was overwritten. To repair it ${by}: ${command(finding.subject)}` }
      : { ...finding, hint: "Nothing was overwritten. Repair the others, then restore again." },
  );
}

/** As many as may be copied at a time. */
function fitting(paths: readonly SchedulePath[]): string[] {
  let room = maxStaged(paths.map(({ stagedBytes }) => stagedBytes));
  const names: string[] = [];
  for (const { storePath, stagedBytes } of paths) {
    if (stagedBytes > room) continue;
    room -= stagedBytes;
    names.push(storePath);
  }
  return names;
}

/** Takes away what an earlier run kept. @throws AirgapError DISK */
export async function dropRepair(store: TargetStore): Promise<void> {
  await removeTree(join(store.keptDir, FOLDER));
}
