/**
 * The store to restore into: what Nix calls it, and where its paths, state and locks really lie on disk. Only stores on
 * this machine: bytes that cannot be read back here cannot be checked.
 */
import { access, constants, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fail } from "../errors.js";
import { asDiskError, errorCode } from "./files.js";

const STORE_DIR = "/nix/store";
const STATE_DIR = "/nix/var/nix";

export interface TargetStore {
  /** For `--store`. */
  readonly uri: string;
  readonly kind: "local" | "daemon" | "chroot";
  /** The folder that holds the paths: `/nix/store/X` lies at `<realStoreDir>/X`. */
  readonly realStoreDir: string;
  /** The folder with `db` and `gcroots`. */
  readonly stateDir: string;
}

/**
 * `text`: as `nix --store` takes it: nothing or `auto`, `local`, `daemon`, a folder, or `local?root=FOLDER`.
 *
 * @throws AirgapError USAGE for any other kind of store; DISK
 */
export async function resolveStore(text: string | undefined, cwd: string): Promise<TargetStore> {
  if (text === undefined || text === "auto") return machineStore();
  if (text === "local" || text === "daemon") return systemStore(text);
  if (/^[a-z0-9+-]+:\/\//i.test(text) || text.startsWith("unix:")) {
    return refuse(text, "a store on this machine, since its bytes are read back and compared");
  }
  if (text.startsWith("local?")) return chrootStore(rootOf(text));
  if (text === "") return refuse(text, "a folder, local, daemon or auto");
  return chrootStore(resolve(cwd, text));
}

/** A store whose `/nix/store` lies in a folder, which need not exist yet. @throws AirgapError USAGE, DISK */
export async function chrootStore(folder: string): Promise<TargetStore> {
  // Nix refuses stores under symlinks.
  const root = await realPathOf(folder);
  if (root === "/") return systemStore("local");
  if (/[\u0000-\u001f\u007f]/.test(root)) {
    return refuse(JSON.stringify(root), "a path without control characters");
  }
  return {
    uri: chrootUri(root),
    kind: "chroot",
    realStoreDir: join(root, STORE_DIR),
    stateDir: join(root, STATE_DIR),
  };
}

/** Where a store path's bytes lie. */
export function realPath(store: TargetStore, storePath: string): string {
  return join(store.realStoreDir, basename(storePath));
}

/** Nix splits a URI at the first `?`, and decodes what follows: so odd characters get through. */
function chrootUri(root: string): string {
  if (/^[\w./+@,-]+$/.test(root)) return root;
  return `local?root=${root.split("/").map(encodeURIComponent).join("/")}`;
}

function rootOf(uri: string): string {
  const encoded = /^local\?root=([^?&#]+)$/.exec(uri)?.[1];
  const root = encoded === undefined ? undefined : decoded(encoded);
  return root?.startsWith("/") ? root : refuse(uri, "local?root=/FOLDER and no other parameter");
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}

/** As Nix chooses: the store itself for who may write it, else its daemon. */
async function machineStore(): Promise<TargetStore> {
  const isWritable = await access(STATE_DIR, constants.W_OK).then(
    () => true,
    () => false,
  );
  if (isWritable) return systemStore("local");
  const hasDaemon = await stat(join(STATE_DIR, "daemon-socket/socket")).then(
    (stats) => stats.isSocket(),
    () => false,
  );
  if (hasDaemon) return systemStore("daemon");
  if (process.getuid?.() === 0) return systemStore("local");
  return fail("USAGE", {
    subject: "--store",
    expected: "a store that this user may write",
    actual: `neither ${STATE_DIR} nor a Nix daemon`,
    hint: "Run as root, or give --store FOLDER.",
  });
}

function systemStore(uri: "local" | "daemon"): TargetStore {
  return { uri, kind: uri, realStoreDir: STORE_DIR, stateDir: STATE_DIR };
}

async function realPathOf(folder: string): Promise<string> {
  const rest: string[] = [];
  for (let existing = resolve(folder); ; existing = dirname(existing)) {
    try {
      return join(await realpath(existing), ...rest);
    } catch (error) {
      if (errorCode(error) !== "ENOENT" || existing === dirname(existing)) throw asDiskError(error, folder);
      rest.unshift(basename(existing));
    }
  }
}

function refuse(actual: string, expected: string): never {
  return fail("USAGE", { subject: "--store", expected, actual });
}
