/** Media for tests, as file systems in files: made, filled, then mounted read-only where a command sees them. Takes root. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";

export interface ImageKind {
  readonly what: string;
  readonly mkfs: readonly string[];
  readonly mount: readonly string[];
  /** Done to its top folder while it is empty. */
  readonly prepare?: readonly string[];
}

/** Those whose names have no case, as many as a Linux may know. */
export const FOLDING: readonly ImageKind[] = [
  { what: "vfat", mkfs: ["mkfs.vfat", "-F", "32"], mount: ["-t", "vfat"] },
  {
    what: "ext4, casefold",
    mkfs: ["mkfs.ext4", "-q", "-O", "casefold", "-E", "encoding=utf8"],
    mount: ["-t", "ext4"],
    prepare: ["chattr", "+F"],
  },
  { what: "XFS, ascii-ci", mkfs: ["mkfs.xfs", "-q", "-n", "version=ci"], mount: ["-t", "xfs"] },
];

const SIZE = 320 * 1024 * 1024;

/**
 * An image with a copy of each of `files` in it; null where this machine cannot make, or mount, such a one. It is sparse, and nothing stays
 * mounted.
 */
export function makeImage(kind: ImageKind, path: string, files: readonly string[]): string | null {
  writeFileSync(path, "");
  truncateSync(path, SIZE);
  const [program = "", ...args] = kind.mkfs;
  if (process.getuid?.() !== 0 || spawnSync(program, [...args, path]).status !== 0) return null;
  const at = `${path}.mnt`;
  mkdirSync(at);
  if (spawnSync("mount", [...kind.mount, "-o", "loop", path, at]).status !== 0) return null;
  try {
    const [prepare, ...how] = kind.prepare ?? [];
    if (prepare !== undefined) execFileSync(prepare, [...how, at]);
    if (files.length > 0) execFileSync("cp", ["-R", ...files, at]);
  } finally {
    execFileSync("umount", [at]);
  }
  return path;
}

/** To be put before a command: for it alone, the images are mounted, read-only. */
export function withImages(
  mounts: readonly { readonly kind: ImageKind; readonly image: string; readonly at: string }[],
): string[] {
  const lines = mounts.map(
    ({ kind, image, at }) => `mount ${kind.mount.join(" ")} -o loop,ro '${image}' '${at}'`,
  );
  return [
    "unshare",
    "--mount",
    "--propagation",
    "private",
    "sh",
    "-c",
    `${lines.join(" && ")} && exec "$@"`,
    "sh",
  ];
}
