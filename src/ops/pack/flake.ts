/** The top flake as the packer sees it: fetched, locked, clean; and everything that its lock names. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { AirgapError, type Finding, fail } from "../../errors.js";
import type { Flake, Input, ProjectFile } from "../../generated/types.js";
import { run } from "../../host/exec.js";
import { exists } from "../../host/files.js";
import * as nix from "../../host/nix/index.js";
import { isStaleLock } from "../../host/nix/words.js";
import { type LockedInput, parseFlakeLock, resolveFlakeLock } from "../../nix/flake-lock.js";
import { formatSri } from "../../nix/hash.js";
import { secretInUrl, withoutPasswords } from "../../nix/url.js";
import { readSideApprovals } from "../side-approvals.js";
import { parseProjectFile } from "./request.js";

export interface TopFlake {
  /** As the user named it: what is evaluated on this machine. */
  readonly ref: string;
  /** The same, locked. */
  readonly url: string;
  readonly flake: Flake;
  readonly inputs: readonly LockedInput[];
  readonly project: ProjectFile;
  /** A folder's or repository's name, to name the product after. */
  readonly folder: string;
  /** What lies beside its flake.lock, by name. */
  readonly lockApprovals: ReadonlyMap<string, Buffer>;
  /** Tags at this revision, newest version first. */
  readonly tags: readonly string[];
  /** What its flake.nix asks of Nix's settings: never in effect, in no run of ours. */
  readonly nixConfig: Readonly<Record<string, unknown>>;
  /** Whether its repository has submodules, and its tree lacks them. */
  readonly missesSubmodules: boolean;
  /** Why it cannot be packed, if so. */
  readonly findings: readonly Finding[];
}

/** Looks at the flake without changing it. @throws AirgapError FLAKE_UNREADABLE, PROJECT_FILE, FLAKE_LOCK_INVALID */
export async function readFlake(
  context: nix.NixContext,
  ref: string,
  realStoreDir: string,
): Promise<TopFlake> {
  const findings: Finding[] = [];
  // What is told of it; Nix is given all of it.
  const named = withoutPasswords(ref);
  const strict = await nix.flakeMetadata(context, ref, "locked");
  let metadata = strict.metadata;
  if (metadata === null && isStaleLock(strict.message)) {
    findings.push({ code: "LOCK_STALE", subject: named, actual: firstLine(strict.message) });
    // Only to find what else is wrong: the lock that Nix makes up here is not used for anything.
    metadata = (await nix.flakeMetadata(context, ref, "as-if")).metadata;
  }
  if (metadata === null) return refuseUnreadable(context, named, strict.message);

  const { locked } = metadata;
  // Names and passwords are left out of what the document says of it; a parameter may be part of where it is.
  const secret = secretInUrl(withoutPasswords(metadata.url));
  if (secret !== null)
    findings.push({ code: "SECRET_FOUND", subject: "the flake's URL", actual: `looks like ${secret}` });
  if (locked.type === "git" && locked.rev === undefined)
    findings.push({ code: "TREE_DIRTY", subject: named });
  const dir = locked.dir ?? "";
  const top = join(realStoreDir, metadata.path.slice("/nix/store/".length));
  const tree = join(top, dir);
  const hasSubmodules = locked.submodules ?? false;
  const lock = await readOptional(join(tree, "flake.lock"));
  const inputs = lock === null ? [] : resolveFlakeLock(parseFlakeLock(lock));
  for (const input of inputs) {
    if (input.narHash === undefined && input.parent === undefined) {
      findings.push({ code: "LOCK_NAR_HASH", subject: `input ${input.path.join("/")}` });
    }
  }
  const [words] = await nix.flakeWords(context, [join(tree, "flake.nix")]);
  const projectBytes = await readOptional(join(tree, "nix-airgap.json"));
  const local = localFolder(locked);
  return {
    ref,
    url: metadata.url,
    flake: {
      dir,
      lastModified: locked.lastModified ?? null,
      lock: lock === null ? null : lock.toString("utf8"),
      narHash: locked.narHash ?? "",
      // Newer Nix spells a branch in full.
      ref: locked.ref?.replace(/^refs\/heads\//, "") ?? null,
      rev: locked.rev ?? null,
      revCount: locked.revCount ?? null,
      storePath: metadata.path,
      submodules: hasSubmodules,
      url: local === null ? withoutPasswords(metadata.url) : null,
    },
    inputs,
    nixConfig: words?.nixConfig ?? {},
    missesSubmodules: !hasSubmodules && (await exists(join(top, ".gitmodules"))),
    lockApprovals: await readSideApprovals(join(tree, "flake.lock")),
    project: projectBytes === null ? {} : parseProjectFile(projectBytes),
    folder: local ?? locked.repo ?? locked.url?.split("?")[0] ?? "",
    tags: local === null || locked.rev === undefined ? [] : await tagsAt(context, local, locked.rev),
    findings,
  };
}

/** What Nix 2.8 says of a flake that only a newer one can read; measured against locks of 2.26.3 and 2.34.8. */
const NEWER_WORDS = [
  /unsupported \S+ input attribute/,
  /lockfile contains mutable lock '\{"path":"[^/]/,
  /input '[^']*' is unsupported/,
  /unexpected flake input attribute/,
  /lock file '.*' has unsupported version/,
];

async function refuseUnreadable(context: nix.NixContext, ref: string, actual: string): Promise<never> {
  if (!NEWER_WORDS.some((words) => words.test(actual))) fail("FLAKE_UNREADABLE", { subject: ref, actual });
  return fail("NIX_TOO_OLD", {
    subject: ref,
    expected: "the Nix that wrote its flake.lock, or a newer one",
    actual: `Nix ${await nix.version(context)}, which says: ${actual}`,
    hint: "Pack with that Nix, or write the flake for this one and lock it again: nix flake lock.",
  });
}

/** The document's `inputs`: each lock node with the store path that holds it. */
export function documentInputs(
  inputs: readonly LockedInput[],
  byNarHash: ReadonlyMap<string, string>,
): Input[] {
  const entries = inputs.map((input): Input => {
    if (input.parent !== undefined && input.narHash === undefined) {
      return { node: input.key, storePath: null, narHash: null, parent: input.parent };
    }
    const narHash = input.narHash === undefined ? "" : formatSri(input.narHash);
    const storePath = byNarHash.get(narHash);
    if (storePath !== undefined) return { node: input.key, storePath, narHash, parent: null };
    return fail("INPUT_MISSING", {
      subject: `input ${input.path.join("/")}`,
      expected: `a tree with ${narHash}`,
      actual: "none in the store",
    });
  });
  return entries.sort((a, b) => (a.node < b.node ? -1 : a.node > b.node ? 1 : 0));
}

/**
 * Whether the flake, or an input, says in flake.nix how it wants to be fetched itself (`inputs.self.submodules`).
 * `treeOf`: where a store path lies.
 */
export async function hasSelfAttributes(
  context: nix.NixContext,
  { flake, inputs }: TopFlake,
  treeOf: (storePath: string) => string,
  documented: readonly Input[],
): Promise<boolean> {
  const storePaths = new Map(documented.map(({ node, storePath }) => [node, storePath]));
  const files = inputs.flatMap(({ key, flake: isFlake, locked: { dir } }) => {
    const storePath = storePaths.get(key) ?? null;
    return isFlake && storePath !== null ? [join(treeOf(storePath), String(dir ?? ""), "flake.nix")] : [];
  });
  const words = await nix.flakeWords(context, [
    join(treeOf(flake.storePath), flake.dir, "flake.nix"),
    ...files,
  ]);
  return words.some(({ self }) => Object.keys(self).length > 0);
}

async function readOptional(path: string): Promise<Buffer | null> {
  return readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw new AirgapError("DISK", { subject: path, actual: error.message }, { cause: error });
  });
}

/** The folder of a flake that lies on this machine, or null for one that was fetched. */
function localFolder(locked: nix.FlakeMetadata["locked"]): string | null {
  if (locked.type === "path") return (locked as { path?: string }).path ?? "";
  const url = locked.url ?? "";
  return locked.type === "git" && url.startsWith("file://")
    ? decodeURI(url.slice("file://".length).split("?")[0] ?? "")
    : null;
}

async function tagsAt(context: nix.NixContext, folder: string, rev: string): Promise<string[]> {
  const argv = ["git", "-C", folder, "tag", "--points-at", rev, "--sort=-version:refname"];
  const { env, cwd, signal } = context;
  // No tags is an answer too: a tree without git on PATH still packs, by its short revision.
  const result = await run(argv, { env, cwd, signal, maxOutput: 1024 * 1024 }).catch((error: unknown) => {
    if (error instanceof AirgapError && error.code !== "INTERRUPTED") return null;
    throw error;
  });
  return result?.code === 0
    ? result.stdout
        .toString("utf8")
        .split("\n")
        .filter((tag) => tag !== "")
    : [];
}

function firstLine(text: string): string {
  return text.split("\n")[0] ?? "";
}
