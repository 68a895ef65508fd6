/** Who owns what lies at a path, and who may write it; and which programs PATH gives. Judges nothing. */
import { access, constants, stat } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";
import { errorCode } from "./files.js";

export type PathFacts =
  | { readonly kind: "missing" }
  /** The system does not let us see; `reason` is its code, such as EACCES. */
  | { readonly kind: "hidden"; readonly reason: string }
  | {
      readonly kind: "there";
      readonly type: "file" | "folder" | "other";
      readonly uid: number;
      /** The twelve bits of permissions. */
      readonly mode: number;
    };

/** Follows symlinks: on NixOS what lies in /etc is one. */
export async function pathFacts(path: string): Promise<PathFacts> {
  try {
    const stats = await stat(path);
    const type = stats.isFile() ? "file" : stats.isDirectory() ? "folder" : "other";
    return { kind: "there", type, uid: stats.uid, mode: stats.mode & 0o7777 };
  } catch (error) {
    const reason = errorCode(error);
    if (reason === "ENOENT" || reason === "ENOTDIR") return { kind: "missing" };
    if (reason === "") throw error;
    return { kind: "hidden", reason };
  }
}

/** The first of these folders' programs with that name; entries that depend on where one stands do not count. */
export async function findProgram(name: string, path: string): Promise<string | null> {
  for (const folder of path.split(delimiter).filter((entry) => isAbsolute(entry))) {
    const program = join(folder, name);
    const runs = await access(program, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (runs) return program;
  }
  return null;
}
