/** Small disks for tests: file systems in memory, mounted where the test says. Takes root. */
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface DiskSize {
  /** As mount(8) takes it: "4m". */
  readonly size: string;
  readonly inodes?: number;
}

export const CAN_MOUNT = process.getuid?.() === 0;

export class Tmpfs {
  readonly path: string;

  constructor(path: string, size: DiskSize) {
    this.path = path;
    mkdirSync(path, { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "-o", options(size), "nix-airgap-test", path]);
  }

  resize(size: DiskSize): void {
    execFileSync("mount", ["-o", `remount,${options(size)}`, this.path]);
  }

  get used(): { readonly kilobytes: number; readonly inodes: number } {
    const { blocks, bfree, bsize, files, ffree } = statfsSync(this.path);
    return { kilobytes: ((blocks - bfree) * bsize) / 1024, inodes: files - ffree };
  }

  /** Leaves just so many bytes free, in a file that `drain` removes. */
  fill(free = 0): void {
    const { bavail, bsize } = statfsSync(this.path);
    writeFileSync(this.#filler, Buffer.alloc(Math.max(0, bavail * bsize - free)));
  }

  drain(): void {
    rmSync(this.#filler, { force: true });
  }

  get #filler(): string {
    return join(this.path, "filler");
  }

  unmount(): void {
    execFileSync("umount", ["--lazy", this.path]);
  }
}

function options({ size, inodes }: DiskSize): string {
  return inodes === undefined ? `size=${size}` : `size=${size},nr_inodes=${inodes}`;
}
