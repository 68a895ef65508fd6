/**
 * A Nix whose `/nix` is a folder of the caller's, so that thousands of builds leave nothing in this machine's store; in memory
 * where there is a disk of memory, since Nix waits for the disk with every path. Takes root, and a Nix that is not in /nix itself.
 */
import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CliOptions } from "../cli.js";
import { nixEnvironment } from "../fixtures.js";
import { CAN_MOUNT } from "../tmpfs.js";

const MEMORY = "/dev/shm";

export const CAN_HAVE_PRIVATE_NIX = CAN_MOUNT && !nixProgram().startsWith("/nix/");

export class PrivateNix {
  readonly dir = mkdtempSync(join(existsSync(MEMORY) ? MEMORY : tmpdir(), "airgap-scale-"));
  /** What runs the program with this Nix. */
  readonly options: CliOptions & { readonly env: NodeJS.ProcessEnv };

  /** Also where a test or the benchmark is interrupted. */
  readonly #onExit = () => this.remove();

  constructor() {
    process.once("exit", this.#onExit);
    const env = nixEnvironment(this.path("env"));
    appendFileSync(join(env["NIX_CONF_DIR"]!, "nix.conf"), "max-jobs = auto\nfsync-metadata = false\n");
    mkdirSync(this.path("nix"));
    const mount = 'mount --bind "$0" /nix && exec "$@"';
    const wrap = ["unshare", "--mount", "--", "/bin/sh", "-c", mount, this.path("nix")];
    this.options = { env, wrap, cwd: this.dir };
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  remove(): void {
    process.off("exit", this.#onExit);
    execFileSync("chmod", ["-R", "u+w", this.dir]); // Nix stores are read-only
    rmSync(this.dir, { recursive: true, force: true });
  }
}

function nixProgram(): string {
  for (const folder of (process.env["PATH"] ?? "").split(":")) {
    if (existsSync(join(folder, "nix"))) return realpathSync(join(folder, "nix"));
  }
  return "";
}
