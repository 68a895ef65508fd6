/**
 * Secrets that would travel with a bundle: whoever gets it can read all of its sources. In the top flake and inputs that nobody
 * else can fetch each is a reason not to pack, unless it is allowed by name; in public ones they are counted, since nixpkgs and
 * others hold keys for their tests.
 */
import { basename, join } from "node:path";
import { type Finding, fail } from "../../errors.js";
import { mayHoldKey, SECRET_HEAD, secretByContent, secretByName } from "../../evidence/secrets.js";
import { filesByFolder, readHeadSync } from "../../host/tree-files.js";
import { inTurns } from "../../host/turns.js";
import type { LockedInput } from "../../nix/flake-lock.js";

export interface SourceTree {
  /** In front of a file's path, to name it: empty for the top flake, `node:` for an input. */
  readonly label: string;
  readonly dir: string;
  readonly isPublic: boolean;
}

export interface Secrets {
  readonly findings: readonly Finding[];
  /** Files that were allowed by name. */
  readonly allowed: number;
  /** Files in public inputs. */
  readonly inPublic: number;
}

/** `allowed`: names as the findings give them. @throws DISK, INTERRUPTED */
export async function findSecrets(
  trees: readonly SourceTree[],
  allowed: readonly string[],
  signal: AbortSignal,
): Promise<Secrets> {
  const findings: Finding[] = [];
  const seen = new Set<string>();
  let inPublic = 0;
  const head = Buffer.allocUnsafe(SECRET_HEAD);
  const look = ({ label, dir, isPublic }: SourceTree, path: string) => {
    const name = basename(path);
    const isOpened = !isPublic || mayHoldKey(name);
    const what =
      secretByName(name) ?? (isOpened ? secretByContent(readHeadSync(join(dir, path), head)) : null);
    if (what === null) return;
    const subject = `${label}${path}`;
    if (isPublic) inPublic += 1;
    else if (allowed.includes(subject)) seen.add(subject);
    else findings.push({ code: "SECRET_FOUND", subject, actual: `looks like ${what}` });
  };
  for (const tree of trees) {
    for await (const files of filesByFolder(tree.dir)) {
      await inTurns(files, (path) => {
        if (signal.aborted) fail("INTERRUPTED");
        look(tree, path);
      });
    }
  }
  findings.sort((a, b) => ((a.subject ?? "") < (b.subject ?? "") ? -1 : 1));
  return { findings, allowed: seen.size, inPublic };
}

/** Whether others can fetch it too, as far as its lock tells: by https, or from a forge. */
export function isPublic({ locked }: LockedInput): boolean {
  const { type, url } = locked;
  if (type === "github" || type === "gitlab" || type === "sourcehut") return true;
  return typeof url === "string" && /^https?:\/\/(?![^/]*@)/.test(url);
}
