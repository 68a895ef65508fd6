/**
 * The scratch store of a rebuild: empty at first, or one that an earlier run of the same rebuild left. Nothing gets in
 * but through the gate and by being built there.
 */
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { AirgapError, type Finding, fail } from "../../errors.js";
import {
  errorCode,
  exists,
  removePartials,
  removeTree,
  withDiskErrors,
  writeFileAtomic,
} from "../../host/files.js";
import { withLock } from "../../host/lock.js";
import { allPathInfo, type NixContext } from "../../host/nix/index.js";
import { makeRunDir } from "../../host/run-dir.js";
import { chrootStore, type TargetStore } from "../../host/store.js";
import { withStoreLock } from "../../host/store-lock.js";
import type { Context } from "../context.js";
import type { RebuildPlan } from "./plan.js";

/** Says whose scratch store this is: one line, `<bundle id> <tier>`. */
const STATE_NAME = "nix-airgap-rebuild";

export interface Scratch {
  readonly store: TargetStore;
  /** Null for one that is removed afterwards. */
  readonly kept: string | null;
}

/**
 * Opens the folder given with --scratch, or makes one that is removed when `action` has ended. `owner`: what must be the
 * same for a folder to be used again.
 *
 * @throws AirgapError SCRATCH_FOREIGN, LOCKED, DISK
 */
export async function withScratch<T>(
  dir: string | undefined,
  owner: string,
  context: Context,
  action: (scratch: Scratch) => Promise<T>,
): Promise<T> {
  if (dir === undefined) {
    const temp = await makeRunDir("scratch", context.tmpDir);
    try {
      return await action({ store: await chrootStore(join(temp, "store")), kept: null });
    } finally {
      await removeTree(temp);
    }
  }
  const kept = resolve(context.cwd, dir);
  await withDiskErrors(kept, () => mkdir(kept, { recursive: true }));
  return withLock(join(kept, `${STATE_NAME}.lock`), async () => {
    await claim(kept, owner);
    const store = await chrootStore(kept);
    return withStoreLock(store, () => action({ store, kept }));
  });
}

async function claim(dir: string, owner: string): Promise<void> {
  const state = join(dir, STATE_NAME);
  await removePartials(state);
  const found = await readFile(state, "utf8").catch((error: unknown) => {
    if (errorCode(error) === "ENOENT") return null;
    throw new AirgapError("DISK", { subject: state, actual: errorCode(error) }, { cause: error });
  });
  if (found === `${owner}\n`) return;
  const others = (await withDiskErrors(dir, () => readdir(dir))).filter(
    (name) => !name.startsWith(STATE_NAME),
  );
  if (found !== null || others.length > 0) {
    fail("SCRATCH_FOREIGN", {
      subject: dir,
      expected: `an empty folder, or the scratch store of ${owner}`,
      actual: found?.trim() ?? "other files",
    });
  }
  await writeFileAtomic(state, `${owner}\n`);
}

export interface ScratchContents {
  /** All valid paths. */
  readonly valid: ReadonlySet<string>;
  /** Outputs of the plan that were built here. */
  readonly built: ReadonlySet<string>;
}

/** What is in the scratch store. @throws AirgapError SCRATCH_FOREIGN for anything that is neither imported nor built there */
export async function scratchContents(
  { store }: Scratch,
  plan: RebuildPlan,
  nix: NixContext,
): Promise<ScratchContents> {
  if (!(await exists(join(store.stateDir, "db/db.sqlite")))) return { valid: new Set(), built: new Set() };
  const infos = await allPathInfo(nix, store.uri);
  const imports = new Set(plan.imports.map(({ storePath }) => storePath));
  const built = new Set<string>();
  for (const { storePath, ultimate } of infos) {
    if (plan.outputs.has(storePath) && ultimate) built.add(storePath);
    else if (!imports.has(storePath)) {
      fail("SCRATCH_FOREIGN", {
        subject: storePath,
        expected: "only what the tier promises, and what was built here",
        actual: plan.outputs.has(storePath)
          ? "an output that was not built here"
          : "a path of another bundle",
      });
    }
  }
  return { valid: new Set(infos.map(({ storePath }) => storePath)), built };
}

/** A store whose content is wrong is of no use for a proof. */
export function unusable(findings: readonly Finding[], dir: string | null): Finding[] {
  return findings.map((finding) => ({
    ...finding,
    hint: `Remove ${dir ?? "the scratch store"} and begin again.`,
  }));
}
