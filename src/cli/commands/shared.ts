/** Words and options that several commands have in common. */
import { resolve } from "node:path";
import { fail } from "../../errors.js";
import { isServerUrl } from "../../host/server-url.js";

export const BUNDLE = { name: "BUNDLE", count: "one" } as const;

/** A path as an absolute one; the URL of a `serve` as it is. */
export function bundleAt(bundle: string, cwd: string): string {
  return isServerUrl(bundle) ? bundle : resolve(cwd, bundle);
}

/** The same of what is signed: an approval is written where the thing lies, and a server takes none. @throws USAGE */
export function signedAt(what: string, cwd: string): string {
  if (!isServerUrl(what)) return resolve(cwd, what);
  return fail("USAGE", {
    subject: what,
    expected: "what lies on this machine",
    actual: "a URL",
    hint: `Sign where the bundle lies. Or fetch ${what.replace(/\/*$/, "")}/bundle/bundle.json, sign that, and have the approval attached where the bundle lies.`,
  });
}

/** Of every command that takes a bundle. */
export const partsOption = {
  kind: "texts",
  describe: "DIR  with more parts of a bundle that is in parts; repeat for more",
} as const;

export function foldersOfParts(given: readonly string[], cwd: string): string[] {
  return given.map((folder) => resolve(cwd, folder));
}

export const sandboxPathOption = {
  kind: "texts",
  describe: "P  of this machine to lend to builders, which weakens the verdict; repeat for more",
} as const;

export const storeOption = {
  kind: "text",
  describe:
    "URI  of the store: a folder, local?root=FOLDER, local, daemon or unix://SOCKET; default: auto, this machine's",
} as const;
