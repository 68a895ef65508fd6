/** What there is to know about a site: Nix and its settings, disks, clock, policy, permissions. Only looks. */
import { stat } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";
import { AirgapError } from "../../errors.js";
import { errorCode, exists, fileSystemOf } from "../../host/files.js";
import { version } from "../../host/nix/index.js";
import { machineSettings } from "../../host/nix/machine.js";
import { siteNix } from "../../host/nix/site.js";
import { formatPublicKey } from "../../nix/signature.js";
import { timeOf } from "../../time.js";
import type { Context } from "../context.js";
import { importKeyPath, readImportKey } from "../import-key.js";
import { openSite, type SitePlace } from "../site.js";
import type { FileFacts, SiteFacts } from "./judge.js";

/** `tempDir`: of this run's own. @throws INTERRUPTED, DISK where not even that can be written */
export async function gatherFacts(
  { place, nixConfDir }: { readonly place: SitePlace; readonly nixConfDir?: string },
  tempDir: string,
  context: Context,
): Promise<SiteFacts> {
  const { policyPath, stateDir } = place;
  const [policyFile, stateFile, stateFolder, keyFile] = await Promise.all(
    [policyPath, join(stateDir, "state.json"), stateDir, importKeyPath(place)].map(fileFacts),
  );
  return {
    now: timeOf(context.now()),
    node: process.versions.node,
    nix: await nixFacts(tempDir, nixConfDir, context),
    space: await Promise.all(
      [
        { what: "store", path: "/nix/store" },
        { what: "state", path: stateDir },
      ].map(async (disk) => ({ ...disk, freeBytes: (await fileSystemOf(disk.path)).freeBytes })),
    ),
    site: await siteFacts(place),
    importKey: await publicImportKey(place),
    files: [policyFile, stateFile, stateFolder].filter((file) => file !== null && file !== undefined),
    importKeyFile: keyFile ?? null,
    sshKeygen: await isOnPath("ssh-keygen", context.env["PATH"] ?? ""),
  };
}

async function nixFacts(
  tempDir: string,
  nixConfDir: string | undefined,
  { env, signal, report }: Context,
): Promise<SiteFacts["nix"]> {
  try {
    const nix = await siteNix({ dir: join(tempDir, "nix"), path: env["PATH"], signal, report });
    const settings = await machineSettings(nix, tempDir, nixConfDir).catch(orNull("NIX_FAILED"));
    return { version: await version(nix), settings };
  } catch (error) {
    return orNull("NIX_MISSING", "NIX_UNSAFE", "NIX_FAILED")(error);
  }
}

async function siteFacts(place: SitePlace): Promise<SiteFacts["site"]> {
  if (!(await exists(place.policyPath)) && !(await exists(place.stateDir))) return null;
  try {
    const { policy, state } = await openSite(place);
    const { version, expires, limits } = policy.document;
    const { clockDriftSeconds } = limits;
    return { lastSeen: state.lastSeen, policy: { version, expires }, clockDriftSeconds, problem: null };
  } catch (error) {
    if (!(error instanceof AirgapError)) throw error;
    return { lastSeen: null, policy: null, clockDriftSeconds: 0, problem: `${error.code}: ${error.message}` };
  }
}

async function publicImportKey(place: SitePlace): Promise<string | null | undefined> {
  try {
    const key = await readImportKey(place);
    return key === null ? null : formatPublicKey(key.publicKey);
  } catch (error) {
    return orNull("DISK", "KEY_INVALID")(error) ?? undefined;
  }
}

async function fileFacts(path: string): Promise<FileFacts | null> {
  try {
    const { uid, mode } = await stat(path);
    return { path, uid, mode: mode & 0o7777 };
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "EACCES"].includes(errorCode(error))) return null;
    throw error;
  }
}

async function isOnPath(program: string, path: string): Promise<boolean> {
  const folders = path.split(delimiter).filter((dir) => isAbsolute(dir));
  const found = await Promise.all(folders.map((dir) => fileFacts(join(dir, program))));
  return found.some((file) => file !== null && (file.mode & 0o111) !== 0);
}

/** These are answers too. */
function orNull(...codes: readonly AirgapError["code"][]): (error: unknown) => null {
  return (error) => {
    if (error instanceof AirgapError && codes.includes(error.code)) return null;
    throw error;
  };
}
