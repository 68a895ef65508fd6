/**
 * releases remove: takes away what keeps a release from the collector, and its links. Never a store path: whether others
 * need it is for Nix's collector.
 */
import { join } from "node:path";
import { shellCommand } from "../../bundle/site-commands.js";
import { AirgapError, fail } from "../../errors.js";
import type { ReleaseChangeReport, ReleaseRecord } from "../../generated/types.js";
import { removeTree } from "../../host/files.js";
import { parseRootName } from "../../host/gc-roots.js";
import { removeOutLinks } from "../../host/out-links.js";
import {
  currentLink,
  currentName,
  linksDir,
  linkTarget,
  makeNoneCurrent,
  readRecord,
  removeRelease,
  rootNames,
} from "../../host/releases.js";
import { resolveStore, type TargetStore } from "../../host/store.js";
import { withStoreLock } from "../../host/store-lock.js";
import type { Context } from "../context.js";
import { type Change, type ChangeOptions, finish } from "./change.js";

export interface RemoveOptions extends ChangeOptions {
  /** Also the current one. */
  readonly evenCurrent: boolean;
}

/** @throws AirgapError USAGE, RELEASE_UNKNOWN, LOCKED, DISK; then the same again completes */
export async function removeOneRelease(
  options: RemoveOptions,
  context: Context,
): Promise<ReleaseChangeReport> {
  const { name, trust, evenCurrent } = options;
  const store = await resolveStore(options.store, context.cwd, context.env);
  parseRootName(name);
  await requireThere(store, name);
  return withStoreLock(store, async () => {
    const record = await requireThere(store, name);
    const from = record === null ? null : await currentName(store, record.product);
    const change: Change = { verb: "remove", name, record, store, trust, from };
    const isCurrent = from === name;
    if (isCurrent && !evenCurrent) {
      return finish(
        change,
        { verdict: "refused", findings: [{ code: "RELEASE_CURRENT", subject: name }] },
        context,
      );
    }
    const removed = [join(store.rootsDir, name), linksDir(store, name)];
    if (record !== null && isCurrent) {
      await makeNoneCurrent(store, record.product);
      removed.push(currentLink(store, record.product));
    }
    if (record?.outLink != null) {
      const targets = record.links.map((link) => [link.name, linkTarget(store, link.path)] as const);
      await removeOutLinks(record.outLink, new Map(targets));
      removed.push(record.outLink);
    }
    await removeTree(join(store.rootsDir, name));
    await removeRelease(store, name);
    const collect = shellCommand(["nix-store", "--store", store.uri, "--gc"]);
    return finish(change, { verdict: "done", removed, collect }, context);
  });
}

/** What is left of it: its record, or only GC roots, or a record that is none. */
async function requireThere(store: TargetStore, name: string): Promise<ReleaseRecord | null> {
  try {
    const record = await readRecord(store, name);
    if (record !== null) return record;
  } catch (error) {
    if (error instanceof AirgapError && error.code === "RELEASE_RECORD") return null;
    throw error;
  }
  if ((await rootNames(store)).includes(name)) return null;
  return fail("RELEASE_UNKNOWN", { subject: name, actual: store.uri });
}
