/** Where pack takes its paths from, and with which passwords it fetches, as the command line says. */
import { resolve } from "node:path";
import { AirgapError, fail } from "../../errors.js";
import { readSmallFile } from "../../host/files.js";
import type { PackerSettings } from "../../host/nix/packer.js";
import { resolveStore, type TargetStore } from "../../host/store.js";
import { parseNetrcHosts } from "../../nix/netrc.js";
import type { Context } from "../context.js";
import type { PackOptions } from "./request.js";

const MAX_NETRC = 1024 * 1024;

/** `isProtected`: for which hosts there is a password. @throws AirgapError USAGE, DISK */
export async function packerSettings(
  { store, netrc }: Pick<PackOptions, "store" | "netrc">,
  { cwd, env }: Pick<Context, "cwd" | "env">,
): Promise<{ readonly settings: PackerSettings; readonly isProtected: (host: string) => boolean }> {
  const file = netrc === undefined ? undefined : resolve(cwd, netrc);
  return {
    settings: { store: store === undefined ? undefined : await packerStore(store, cwd, env), netrc: file },
    isProtected: file === undefined ? () => false : await protectedHosts(file),
  };
}

/** What lies elsewhere cannot be read file by file, as derivations, locks and secrets are. */
async function packerStore(text: string, cwd: string, env: Context["env"]): Promise<TargetStore> {
  try {
    return await resolveStore(text, cwd, env);
  } catch (error) {
    const isElsewhere = /^(?!unix:)[a-z0-9+-]+:\/\//i.test(text);
    if (!(isElsewhere && error instanceof AirgapError && error.code === "USAGE")) throw error;
    const details = {
      ...error.details,
      expected:
        "a store whose files lie on this machine: auto, local, daemon, unix:///SOCKET, local?root=/FOLDER or a folder",
      hint: "Run pack on the machine that has that store, or bring its paths here: nix copy --from URI PATH. Builders on other machines need no --store: name them in nix.conf.",
    };
    throw new AirgapError("USAGE", details, { cause: error });
  }
}

async function protectedHosts(file: string): Promise<(host: string) => boolean> {
  const bytes = await readSmallFile(file, MAX_NETRC);
  const subject = `--netrc ${file}`;
  if (bytes === null) return fail("DISK", { subject, actual: "no such file" });
  if (bytes.length > MAX_NETRC) return fail("USAGE", { subject, expected: "a netrc file" });
  return parseNetrcHosts(bytes.toString("utf8"));
}
