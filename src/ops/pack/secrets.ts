/**
 * Secrets that would travel with a bundle: whoever gets it can read all of its sources. In the top flake and inputs that nobody
 * else can fetch each is a reason not to pack, unless it is allowed by name; in public ones they are counted, since nixpkgs and
 * others hold keys for their tests.
 */
import { basename } from "node:path";
import { type Finding, fail } from "../../errors.js";
import { mayHoldKey, SECRET_HEAD, secretByContent, secretByName } from "../../evidence/secrets.js";
import { fileInTree, filesByFolder, readHeadSync } from "../../host/tree-files.js";
import { inTurns } from "../../host/turns.js";
import type { Derivation } from "../../nix/derivation.js";
import type { LockedInput } from "../../nix/flake-lock.js";
import { isPrivateHost, secretInUrl } from "../../nix/url.js";

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

/** `allowed`: names as the findings give them, or `node:` for all of an input. @throws DISK, INTERRUPTED */
export async function findSecrets(
  trees: readonly SourceTree[],
  allowed: readonly string[],
  signal: AbortSignal,
): Promise<Secrets> {
  const findings: Finding[] = [];
  const seen = new Set<string>();
  let inPublic = 0;
  const head = Buffer.allocUnsafe(SECRET_HEAD);
  const look = ({ label, dir, isPublic }: SourceTree, bytes: string) => {
    const path = Buffer.from(bytes, "latin1").toString();
    const name = basename(path);
    const isOpened = !isPublic || mayHoldKey(name);
    const what =
      secretByName(name) ?? (isOpened ? secretByContent(readHeadSync(fileInTree(dir, bytes), head)) : null);
    if (what === null) return;
    const subject = `${label}${path}`;
    if (isPublic) inPublic += 1;
    else if (allowed.includes(subject) || (label !== "" && allowed.includes(label))) seen.add(subject);
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

/** What flake.lock would tell: it travels in the top flake, and is repeated in the document. */
export function secretsInLock(inputs: readonly LockedInput[], allowed: readonly string[]): Secrets {
  return judge(
    inputs.flatMap(({ key, locked, original }) =>
      [locked, original].flatMap(({ url }) => named(`flake.lock:${key}`, url)),
    ),
    allowed,
  );
}

/** What derivations would tell of where their sources are. */
export function secretsInSources(
  derivations: Iterable<readonly [drvPath: string, derivation: Derivation]>,
  allowed: readonly string[],
): Secrets {
  const urls = (env: ReadonlyMap<string, string>) =>
    ["url", "urls"].flatMap((name) => env.get(name)?.split(/\s+/) ?? []);
  return judge(
    [...derivations].flatMap(([drvPath, { kind, env }]) =>
      kind === "fixed" ? urls(env).flatMap((url) => named(drvPath, url)) : [],
    ),
    allowed,
  );
}

function named(subject: string, url: unknown): { readonly subject: string; readonly what: string }[] {
  const what = typeof url === "string" ? secretInUrl(url) : null;
  return what === null ? [] : [{ subject, what }];
}

function judge(
  found: readonly { readonly subject: string; readonly what: string }[],
  allowed: readonly string[],
): Secrets {
  const bySubject = new Map(found.map(({ subject, what }) => [subject, what]));
  const refused = [...bySubject].filter(([subject]) => !allowed.includes(subject));
  return {
    findings: refused.map(([subject, what]) => ({
      code: "SECRET_FOUND",
      subject,
      actual: `looks like ${what}`,
    })),
    allowed: bySubject.size - refused.length,
    inPublic: 0,
  };
}

/** Hosts of forges, where a lock names none. */
const FORGES: Readonly<Record<string, string>> = {
  github: "github.com",
  gitlab: "gitlab.com",
  sourcehut: "git.sr.ht",
};

/**
 * Whether others can fetch it too, as far as its lock tells: from a forge, or by http from a host that every network
 * reaches, and without a password. `isProtected`: for which hosts we have one. A repository that is open to our token
 * alone is taken for public unless that comes from there.
 */
export function isPublic(input: LockedInput, isProtected: (host: string) => boolean): boolean {
  const host = hostOf(input);
  return host !== null && !isPrivateHost(host) && !isProtected(host);
}

/** Where it is fetched from without a key or password of ours; null for all other ways. */
function hostOf({ locked: { type, url, host } }: LockedInput): string | null {
  const forge = FORGES[String(type)];
  if (forge !== undefined) return typeof host === "string" ? host : forge;
  if (typeof url !== "string" || secretInUrl(url) !== null) return null;
  return /^https?:\/\/(\[[^\]]+\]|[^/?#:]+)/.exec(url)?.[1] ?? null;
}
