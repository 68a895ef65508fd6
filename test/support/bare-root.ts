/**
 * A root folder for chroot(8) with nothing in it but the libraries that ldd(1) names of one executable: no Node.js, no
 * shell, no /proc. NIX_AIRGAP_CHROOT names another root to try instead, such as one that mmdebstrap made.
 */
import { execFileSync } from "node:child_process";
import { constants, copyFileSync, cpSync, lstatSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";

/** Where the program lies in the root. */
const PROGRAM = "/nix-airgap";

export class BareRoot {
  /** Files for the program go here; in the root it is `/work`. */
  readonly work: string;
  readonly #dir: string;

  /** Fills `dir`, which must not exist yet. */
  constructor(dir: string, executable: string) {
    this.#dir = dir;
    this.work = join(dir, "work");
    const given = process.env["NIX_AIRGAP_CHROOT"];
    if (given !== undefined)
      cpSync(given, dir, { recursive: true, verbatimSymlinks: true, filter: isCopied });
    else for (const library of libraries(executable)) this.#add(library, library);
    this.#add(executable, PROGRAM);
    mkdirSync(this.work, { recursive: true });
  }

  /** The program with these arguments, in the root, without a network: an argument list for the host. */
  command(...args: string[]): string[] {
    const user = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
    const path = `${process.env["PATH"]}:/usr/sbin:/sbin`;
    return ["env", `PATH=${path}`, "unshare", ...user, "--net", "chroot", this.#dir, PROGRAM, ...args];
  }

  #add(from: string, to: string): void {
    const path = join(this.#dir, to);
    mkdirSync(dirname(path), { recursive: true });
    copyFileSync(from, path, constants.COPYFILE_FICLONE);
  }
}

/** Devices are for who makes them. */
function isCopied(path: string): boolean {
  const stats = lstatSync(path);
  return stats.isFile() || stats.isDirectory() || stats.isSymbolicLink();
}

/** The loader, and what it loads. */
function libraries(executable: string): string[] {
  const lines = execFileSync("ldd", [executable], { encoding: "utf8" }).trim().split("\n");
  return lines.flatMap((line) => /(\/\S+) \(0x/.exec(line)?.[1] ?? []);
}
