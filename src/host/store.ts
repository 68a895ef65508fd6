/**
 * The store to restore into: what Nix calls it, and where its paths, state and locks really lie on disk. Only stores on
 * this machine: bytes that cannot be read back here cannot be checked.
 */
import { access, constants, realpath, stat } from "node:fs/promises";
import { userInfo } from "node:os";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { fail } from "../errors.js";
import { asDiskError, errorCode } from "./files.js";

const STORE_DIR = "/nix/store";
const STATE_DIR = "/nix/var/nix";
const DAEMON_SOCKET = join(STATE_DIR, "daemon-socket/socket");
/** What is ours, in the state of a store, among its GC roots, and in a user's own state. */
const KEPT = "nix-airgap";

export interface TargetStore {
  /** For `--store`. */
  readonly uri: string;
  readonly kind: "local" | "daemon" | "chroot";
  /** The folder that holds the paths: `/nix/store/X` lies at `<realStoreDir>/X`. */
  readonly realStoreDir: string;
  /** The folder with `db`. */
  readonly stateDir: string;
  /** The folder of restores' own: their lock, what they remember. */
  readonly keptDir: string;
  /** The folder of restores' own GC roots. */
  readonly rootsDir: string;
  /**
   * `direct`: `rootsDir` lies where the collector looks. `indirect`: of who may not write there it is a folder of their own,
   * and the daemon is told of what is in it.
   */
  readonly roots: "direct" | "indirect";
}

/** The variables that say where a user's own state is. */
type Env = Readonly<Record<string, string | undefined>>;

/**
 * `text`: as `nix --store` takes it: nothing or `auto`, `local`, `daemon`, `unix://SOCKET`, a folder, or `local?root=FOLDER`.
 *
 * @throws AirgapError USAGE for any other kind of store, and for one that this user cannot reach; DISK
 */
export async function resolveStore(text: string | undefined, cwd: string, env: Env): Promise<TargetStore> {
  if (text === undefined || text === "auto") return machineStore(env);
  if (text === "local" || text === "local://") return localStore();
  if (text === "daemon" || text === "unix://") return daemonStore("daemon", DAEMON_SOCKET, env);
  if (/^unix:\/\/\/[^?&#%]+$/.test(text)) return daemonStore(text, text.slice("unix://".length), env);
  const root = /^local(?::\/\/)?\?(.*)$/s.exec(text)?.[1];
  if (root !== undefined) return chrootStore(rootOf(root, text));
  if (/^(auto|daemon|local|dummy|unix)[?:]/.test(text)) {
    return refuse(
      text,
      "auto, local, daemon, unix:///SOCKET, local?root=/FOLDER or a folder, without parameters",
    );
  }
  if (/^[a-z0-9+-]+:\/\//i.test(text)) {
    return refuse(text, "a store on this machine, since its bytes are read back and compared", COPY_YOURSELF);
  }
  if (text === "") return refuse(text, "a folder, local, daemon or auto");
  return chrootStore(resolve(cwd, text));
}

const COPY_YOURSELF =
  "Restore into a folder here (--store FOLDER), or run restore on the machine that has the store.";

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
    ...direct(join(root, STATE_DIR)),
  };
}

function direct(stateDir: string): Pick<TargetStore, "stateDir" | "keptDir" | "rootsDir" | "roots"> {
  const rootsDir = join(stateDir, "gcroots", KEPT);
  return { stateDir, keptDir: join(stateDir, KEPT), rootsDir, roots: "direct" };
}

/** Whose restores one can see there: one's own, and those of who may write to the store's state. */
export function visiblePlaces(store: TargetStore): TargetStore[] {
  return store.roots === "indirect" ? [store, { ...store, ...direct(store.stateDir) }] : [store];
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

/** Of all parameters that Nix has for such a store, the one that leaves its layout as it is. */
function rootOf(query: string, uri: string): string {
  const others = query.split("&").flatMap((part) => (part.startsWith("root=") ? [] : [part.split("=")[0]!]));
  if (others.length > 0) {
    return refuse(
      uri,
      `local?root=/FOLDER without ${others.join(", ")}`,
      "Leave that parameter out: store and state then lie in FOLDER/nix, where paths are read back and GC roots are set.",
    );
  }
  const encoded = /^root=([^?&#]+)$/.exec(query)?.[1];
  const root = encoded === undefined ? undefined : decoded(encoded);
  return root?.startsWith("/") ? root : refuse(uri, "local?root=/FOLDER, once, absolute, percent-encoded");
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
async function machineStore(env: Env): Promise<TargetStore> {
  if (await isWritable(STATE_DIR)) return systemStore("local");
  if (await isSocket(DAEMON_SOCKET)) return daemonStore("daemon", DAEMON_SOCKET, env);
  if (process.getuid?.() === 0) return systemStore("local");
  return fail("USAGE", {
    subject: "--store",
    expected: "a store that this user may write",
    actual: `neither ${STATE_DIR} nor a Nix daemon`,
    hint: "Run as root, or give --store FOLDER.",
  });
}

async function localStore(): Promise<TargetStore> {
  if (await isWritable(STATE_DIR)) return systemStore("local");
  return refuse(
    "local",
    `a store that this user may write, which ${STATE_DIR} is not`,
    "Leave out --store to go by Nix's daemon, run as root, or give --store FOLDER.",
  );
}

async function daemonStore(uri: string, socket: string, env: Env): Promise<TargetStore> {
  if (!(await isSocket(socket))) {
    return refuse(
      uri,
      "a Nix daemon",
      `No socket is at ${socket}. Start the daemon (systemctl start nix-daemon.socket); root needs none: --store local.`,
    );
  }
  const store = { ...systemStore("daemon"), uri };
  if ((await isWritable(store.keptDir)) && (await isWritable(store.rootsDir))) return store;
  const keptDir = join(userState(env), KEPT);
  return { ...store, keptDir, rootsDir: join(keptDir, "gcroots"), roots: "indirect" };
}

function systemStore(kind: "local" | "daemon"): TargetStore {
  return { uri: kind, kind, realStoreDir: STORE_DIR, ...direct(STATE_DIR) };
}

/** https://specifications.freedesktop.org/basedir-spec: a relative path counts as none. */
function userState({ XDG_STATE_HOME: state, HOME: home }: Env): string {
  if (state !== undefined && isAbsolute(state)) return state;
  return join(home !== undefined && isAbsolute(home) ? home : userInfo().homedir, ".local/state");
}

function isSocket(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isSocket(),
    () => false,
  );
}

/** Whether this user may write in a folder, or make it. */
async function isWritable(folder: string): Promise<boolean> {
  try {
    await access(folder, constants.W_OK);
    return true;
  } catch (error) {
    return errorCode(error) === "ENOENT" && folder !== "/" && isWritable(dirname(folder));
  }
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

function refuse(actual: string, expected: string, hint?: string): never {
  return fail("USAGE", { subject: "--store", expected, actual, ...(hint === undefined ? {} : { hint }) });
}
