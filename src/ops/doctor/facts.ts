/** What a site is like: everything that doctor judges, gathered without writing and without a network. Judges nothing. */
import { dirname, join, resolve } from "node:path";
import { AirgapError, type Code } from "../../errors.js";
import { fileSystemOf } from "../../host/files.js";
import { effectiveSettings, machineNix, versionLine } from "../../host/nix/machine.js";
import type { NixSettings } from "../../host/nix/settings.js";
import { SYSTEM_PATH } from "../../host/nix/site.js";
import { findProgram, type PathFacts, pathFacts } from "../../host/permissions.js";
import { accountId } from "../../host/who.js";
import { formatTime } from "../../time.js";
import type { Context } from "../context.js";
import { SERVICE_ACCOUNT } from "../site.js";

export interface DoctorOptions {
  /** The site's state folder. */
  readonly stateDir: string;
  /** The site's policy file. */
  readonly policyPath: string;
  /** What the state folder says; null where there is none. `lastSeen`: YYYY-MM-DDThh:mm:ssZ. */
  readonly state: StateFacts | null;
  /** Why policy or state cannot be used, where that is so. */
  readonly problem?: string;
  /** The policy in force; null where there is none. `expires`: YYYY-MM-DDThh:mm:ssZ. */
  readonly policy: PolicyFacts | null;
  /** Public half of the import key that the site keeps, `name:base64`; null where it keeps none. */
  readonly importKey: string | null;
  /** File with its secret half; null where the site keeps none. */
  readonly importKeyPath: string | null;
  /** The folder with nix.conf; default: Nix's own, /etc/nix. */
  readonly nixConfDir?: string;
}

export interface StateFacts {
  readonly lastSeen: string | null;
  /** By so much the clock may be behind. */
  readonly clockDriftSeconds?: number;
}

export interface PolicyFacts {
  readonly version: number;
  readonly sha256: string;
  readonly expires: string | null;
}

export interface Failure {
  readonly code: Code;
  readonly message: string;
}

export type NixFacts =
  | { readonly kind: "unusable"; readonly failure: Failure }
  | {
      readonly kind: "usable";
      readonly versionLine: string;
      readonly settings: NixSettings | Failure;
    };

/** A file or folder, and the folder that it lies in: who may write that may replace it. */
export interface Place {
  readonly path: string;
  readonly itself: PathFacts;
  readonly parent: PathFacts;
}

export interface Space {
  readonly path: string;
  /** Null where it could not be asked. */
  readonly free: { readonly bytes: number; readonly files: number | null } | null;
}

export interface DoctorFacts {
  readonly nix: NixFacts;
  /** Users other than root may reach the store by it. */
  readonly hasDaemon: boolean;
  readonly nixConf: Place;
  /** Other files with settings that the daemon would read too. */
  readonly otherConfs: readonly Place[];
  readonly store: Space;
  readonly stateSpace: Space;
  /** YYYY-MM-DDThh:mm:ssZ */
  readonly now: string;
  readonly state: DoctorOptions["state"];
  readonly policy: PolicyFacts | null;
  readonly problem: string | null;
  readonly importKey: string | null;
  readonly policyFile: Place;
  readonly stateFolder: Place;
  readonly importKeyFile: Place | null;
  /** Who asks; null where the system has no users. */
  readonly uid: number | null;
  /** The account that restores for operators, which trust install makes; null where there is none. */
  readonly serviceUid: number | null;
  /** Such as 20.19.1. */
  readonly node: string;
  readonly sshKeygen: string | null;
}

const STORE_DIR = "/nix/store";
const DAEMON_SOCKET = "/nix/var/nix/daemon-socket/socket";
const NIX_CONF_DIR = "/etc/nix";
/** The daemon is a process of root's, and reads root's own settings after the system's. */
const OTHER_CONFS = ["/etc/xdg/nix/nix.conf", "/root/.config/nix/nix.conf"];

/** @throws AirgapError INTERRUPTED */
export async function gatherFacts(options: DoctorOptions, context: Context): Promise<DoctorFacts> {
  const absolute = (path: string) => resolve(context.cwd, path);
  const confDir = options.nixConfDir === undefined ? undefined : absolute(options.nixConfDir);
  const stateDir = absolute(options.stateDir);
  const path = context.env["PATH"];
  return {
    nix: await nixFacts(confDir, context),
    hasDaemon: (await pathFacts(DAEMON_SOCKET)).kind !== "missing",
    nixConf: await place(join(confDir ?? NIX_CONF_DIR, "nix.conf")),
    otherConfs: await Promise.all(OTHER_CONFS.map(place)),
    store: await space(STORE_DIR),
    stateSpace: await space(stateDir),
    now: formatTime(Math.floor(context.now().getTime() / 1000)),
    state: options.state,
    policy: options.policy,
    problem: options.problem ?? null,
    importKey: options.importKey,
    policyFile: await place(absolute(options.policyPath)),
    stateFolder: await place(stateDir),
    importKeyFile: options.importKeyPath === null ? null : await place(absolute(options.importKeyPath)),
    uid: process.geteuid?.() ?? null,
    serviceUid: await accountId(SERVICE_ACCOUNT),
    node: process.versions.node,
    sshKeygen: await findProgram("ssh-keygen", path === undefined ? SYSTEM_PATH : `${path}:${SYSTEM_PATH}`),
  };
}

async function nixFacts(confDir: string | undefined, { env, signal }: Context): Promise<NixFacts> {
  const found = await orFailure(async () => {
    const nix = await machineNix({ path: env["PATH"], confDir, signal });
    return { nix, line: await versionLine(nix) };
  });
  if ("code" in found) return { kind: "unusable", failure: found };
  const settings = await orFailure(() => effectiveSettings(found.nix));
  return { kind: "usable", versionLine: found.line, settings };
}

/** What keeps Nix from answering is a fact like others. */
const NO_ANSWER: readonly Code[] = ["NIX_MISSING", "NIX_UNSAFE", "NIX_FAILED", "DISK", "NO_SPACE"];

async function orFailure<T>(ask: () => Promise<T>): Promise<T | Failure> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof AirgapError && NO_ANSWER.includes(error.code))) throw error;
    return { code: error.code, message: error.message };
  }
}

async function place(path: string): Promise<Place> {
  return { path, itself: await pathFacts(path), parent: await pathFacts(dirname(path)) };
}

async function space(path: string): Promise<Space> {
  const free = await orFailure(async () => {
    const { freeBytes, freeFiles } = await fileSystemOf(path);
    return { bytes: freeBytes, files: freeFiles };
  });
  return { path, free: "code" in free ? null : free };
}
