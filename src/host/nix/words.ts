/**
 * What Nix says to people, read by us where nothing else tells: the words of each version that we know, and nobody else
 * looks for them. Pure. Measured on 2.8.0, 2.26.3 and 2.34.8.
 */

/** Derivations whose own build failed; those that only wait for them are not among them. */
export function failedDerivations(message: string): Set<string> {
  const failed = new Set<string>();
  // To 2.31 or so; then the other.
  for (const [, drvPath] of message.matchAll(/builder for '(\/nix\/store\/[^'\s]+\.drv)' failed/g)) {
    failed.add(drvPath!);
  }
  for (const [, drvPath, reason] of message.matchAll(
    /Cannot build '(\/nix\/store\/[^'\s]+\.drv)'\.\s+Reason: ([^\n]*)/g,
  )) {
    if (!/^\d+ dependenc/.test(reason!)) failed.add(drvPath!);
  }
  return failed;
}

/** Whether this fixed output was there, but is not what its derivation says. */
export function isHashMismatch(message: string, drvPath: string): boolean {
  return message.includes(`hash mismatch in fixed-output derivation '${drvPath}'`);
}

export interface ImportMismatch {
  readonly storePath: string;
  readonly expected: string;
  readonly actual: string;
}

/** A NAR that was read with another hash than its narinfo has. */
export function importMismatch(message: string): ImportMismatch | null {
  const words = /hash mismatch importing path '([^']+)';\s+specified:\s+(\S+)\s+got:\s+(\S+)/;
  const [, storePath, expected, actual] = words.exec(message) ?? [];
  if (storePath === undefined || expected === undefined || actual === undefined) return null;
  return { storePath, expected, actual };
}

/** The path that Nix would name in another way than whoever packed it: one that is content-addressed. */
export function misnamedPath(message: string): string | null {
  return /ca hash mismatch importing path '([^']+)'/.exec(message)?.[1] ?? null;
}

/** The folder of a failed build that `--keep-failed` left: to 2.2x in TMPDIR, later in the store's own state. */
export function keptBuildFolder(message: string): string | null {
  const [, quoted, doubly] = /^note: keeping build directory (?:'([^']+)'|"([^"]+)")/.exec(message) ?? [];
  const folder = quoted ?? doubly;
  // From 2.22 on the build has a folder of its own in there.
  return folder?.replace(/\/build$/, "") ?? null;
}

/** A derivation of a system that Nix has no machine for, with that system. */
export function foreignSystem(message: string): { readonly system: string; readonly drvPath: string } | null {
  const [, early, drvOfEarly, ownOfEarly] =
    /a '(\S+)' with features \{.*?\} is required to build '(\S+\.drv)', but I am a '(\S+)'/.exec(message) ??
    [];
  const [, drvOfLater, later, ownOfLater] =
    /Cannot build '(\S+\.drv)'\.\s+Reason: platform mismatch\s+Required system: '(\S+)'[\s\S]*?Current system: '(\S+)'/.exec(
      message,
    ) ?? [];
  const [system, drvPath, own] = [early ?? later, drvOfEarly ?? drvOfLater, ownOfEarly ?? ownOfLater];
  // The same words are said of features that this machine lacks.
  return system === undefined || drvPath === undefined || system === own ? null : { system, drvPath };
}

/** A lock that does not fit its flake.nix, where it may not be written. */
export function isStaleLock(message: string): boolean {
  return message.includes("requires lock file changes");
}

/** Bytes that what is to be fetched takes unpacked, rounded: to 2.2x in MiB, later in the unit that fits. 0 of any other message. */
export function unpackedBytes(message: string): number {
  const words =
    /^th(?:is|ese)(?: \d+)? paths? will be fetched \([^()]* download, ([\d.]+) ([KMGT]?)i?B unpacked\)/;
  const [, amount, unit = ""] = words.exec(message) ?? [];
  return amount === undefined ? 0 : Number(amount) * 1024 ** " KMGT".indexOf(unit || " ");
}

export function isUnknownCommand(message: string): boolean {
  return message.includes("is not a recognised command");
}

/** No sandbox can be made here. */
export function isAboutSandbox(message: string): boolean {
  return /sandbox|namespace|unshare|clone/i.test(message);
}

/** The line that says so; its words are those of the system, and of SQLite. */
export function fullDiskLine(message: string): string | undefined {
  const full = /No space left on device|Disk quota exceeded|database or disk is full|File too large/;
  return message.split("\n").find((line) => full.test(line));
}

/** The line with which a daemon refuses a path that no key signed which it trusts: of 2.8, and of the others. */
export function unsignedLine(message: string): string | undefined {
  const refused = /because it lacks a (valid signature|signature by a trusted key)/;
  return message.split("\n").find((line) => refused.test(line));
}

/** Of who could not talk to a daemon: none answers, or it hangs up on who is not among its allowed-users. */
export function daemonTrouble(message: string): "absent" | "hangs-up" | null {
  if (/cannot connect to (socket|daemon) at/.test(message)) return "absent";
  return message.includes("cannot open connection to remote store") ? "hangs-up" : null;
}
