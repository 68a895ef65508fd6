/** What was asked of pack, made whole: installables, the flake's own nix-airgap.json, defaults. */
import { basename, join, resolve } from "node:path";
import type { Cut } from "../../bundle/tar-out.js";
import { type Finding, fail } from "../../errors.js";
import type { ProjectFile, Tier } from "../../generated/types.js";
import { validateProjectFile } from "../../generated/validators.js";
import { parseFragment } from "../../nix/flake-fragment.js";
import type { SecretKey } from "../../nix/signature.js";
import { parseStrictJson } from "../../strict-json.js";
import type { LockTrust } from "../lock-approval.js";

export interface PackOptions {
  /** Flake references with or without `#attr`; all of one flake. */
  readonly installables: readonly string[];
  /** Every output of the flake for the systems. */
  readonly all: boolean;
  /** Attributes that `all` leaves out. */
  readonly except: readonly string[];
  /** Absent: nix-airgap.json's, else this machine's. */
  readonly systems?: readonly string[];
  readonly product?: string;
  readonly release?: string;
  readonly secretKey?: SecretKey;
  /** A directory to make, or a file that ends in `.tar`; with `split` a folder to make, for the parts. */
  readonly out?: string;
  /** Bytes of a part: the tar is written in parts of so many. */
  readonly split?: number;
  readonly tier?: Tier;
  readonly sequence?: number;
  /** Path of the bundle of the release before. */
  readonly previous?: string;
  /** The store to pack from: as `nix --store` takes it, or a folder; default: the one that Nix takes. */
  readonly store?: string;
  /** Path of a netrc file, with which Nix fetches. */
  readonly netrc?: string;
  /** Most bytes that the bundle may have. */
  readonly maxSize?: number;
  /** `YYYY-MM-DDThh:mm:ssZ`. */
  readonly created?: string;
  /** zstd's, 1 to 19. */
  readonly compressionLevel?: number;
  readonly dryRun: boolean;
  /** Files that look like secrets and may be packed, as findings name them. */
  readonly allowSecrets: readonly string[];
  /** `NAME=VALUE`: evaluated with exactly these variables; none for a pure evaluation. */
  readonly env: readonly string[];
  /** `ATTR=STOREPATH`: outputs that were tested. */
  readonly expect: readonly string[];
  /** Who must have approved the flake.lock; absent: nobody needs to. */
  readonly approvedLock?: LockTrust;
}

export const DEFAULT_ATTR = "default";
/** That of schemas/document.schema.json. */
const SYSTEM = /^[A-Za-z0-9._-]{1,64}$/;
const MAX_PROJECT_FILE = 1024 * 1024;

export interface Installables {
  readonly ref: string;
  /** Attributes as asked for; empty where none was. */
  readonly attrs: readonly string[];
}

/** Splits `REF#attr`. @throws AirgapError USAGE where they belong to several flakes, or name outputs beside `all` */
export function parseInstallables(installables: readonly string[], all = false): Installables {
  const parts = installables.map((text) => {
    const at = text.indexOf("#");
    return at < 0
      ? { ref: text, attr: "" }
      : { ref: text.slice(0, at), attr: parseFragment(text.slice(at + 1)) };
  });
  const refs = [...new Set(parts.map((part) => withFolder(part.ref || ".")))];
  if (refs.length > 1) {
    fail("USAGE", {
      subject: refs.join(", "),
      expected: "installables of one flake",
      actual: `${refs.length} flakes`,
      hint: "Pack each flake into its own bundle, or make one flake that has the others as inputs.",
    });
  }
  const attrs = [...new Set(parts.map((part) => part.attr).filter((attr) => attr !== ""))];
  if (all && attrs.length > 0) {
    fail("USAGE", {
      subject: attrs.join(", "),
      expected: "a flake without #attr, since --all is every output",
    });
  }
  return { ref: refs[0] ?? ".", attrs };
}

/** Systems in the order of the document. @throws AirgapError USAGE for a name that no system has */
export function chooseSystems(
  asked: readonly string[] | undefined,
  project: ProjectFile,
  current: string,
): string[] {
  const systems = asked ?? project.systems ?? [current];
  const odd = systems.find((system) => !SYSTEM.test(system));
  if (odd !== undefined) {
    fail("USAGE", {
      subject: "--system",
      expected: "a system such as x86_64-linux",
      actual: JSON.stringify(odd),
    });
  }
  return [...new Set(systems)].sort();
}

/** `PATH?dir=FOLDER`, which Nix 2.8 takes for URLs only, as the path that means the same to every Nix. */
function withFolder(ref: string): string {
  const [, path, dir] = /^([./][^?]*)\?dir=([^&]+)$/.exec(ref) ?? [];
  return path === undefined || dir === undefined ? ref : join(path, dir).replace(/^(?![./])/, "./");
}

/** Reads nix-airgap.json. @throws AirgapError PROJECT_FILE */
export function parseProjectFile(bytes: Uint8Array): ProjectFile {
  const value: unknown = parseStrictJson(bytes, {
    maxBytes: MAX_PROJECT_FILE,
    code: "PROJECT_FILE",
    subject: "nix-airgap.json",
  });
  if (validateProjectFile(value)) return value;
  const error = validateProjectFile.errors?.[0];
  const extra = (error?.params as { additionalProperty?: string } | undefined)?.additionalProperty;
  return fail("PROJECT_FILE", {
    subject: `nix-airgap.json${error?.instancePath ?? ""}`,
    expected: "the fields of schemas/project-file.schema.json",
    actual: `${error?.message ?? "something else"}${extra === undefined ? "" : `: ${extra}`}`,
  });
}

export interface Identity {
  readonly product: string;
  readonly release: string;
}

const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/** Product and release from options, project file, or the flake itself. Findings say what cannot be told. */
export function chooseIdentity(
  options: Pick<PackOptions, "product" | "release">,
  project: ProjectFile,
  flake: { readonly folder: string; readonly tags: readonly string[]; readonly rev: string | null },
): { readonly identity: Identity; readonly findings: Finding[] } {
  const findings: Finding[] = [];
  const product = options.product ?? project.product ?? asName(flake.folder);
  const tag = flake.tags.find((name) => NAME.test(name));
  const release = options.release ?? project.release ?? tag ?? flake.rev?.slice(0, 7);
  for (const [option, value] of [
    ["--product", product],
    ["--release", release],
  ] as const) {
    if (value !== undefined && NAME.test(value)) continue;
    findings.push({
      code: "USAGE",
      subject: option,
      expected: "lower-case letters, digits and ._- (at most 64)",
      actual: value === undefined || value === "" ? "nothing to take it from" : JSON.stringify(value),
      hint: `Give ${option}, or write it in nix-airgap.json.`,
    });
  }
  return { identity: { product: product ?? "", release: release ?? "" }, findings };
}

/** A folder's name as a product's, where that takes only case and separators. */
function asName(folder: string): string {
  return basename(folder)
    .toLowerCase()
    .replace(/\.git$/, "")
    .replace(/[^a-z0-9._-]+/g, "-")
    .replace(/^[._-]+/, "")
    .slice(0, 64);
}

export type Out =
  | { readonly path: string; readonly form: "directory" | "tar" }
  | { readonly path: string; readonly form: "parts"; readonly cut: Cut };

/** Where the bundle goes: an absolute path, and its form. @throws AirgapError USAGE for a tar to be split */
export function chooseOut(
  { out, split }: Pick<PackOptions, "out" | "split">,
  cwd: string,
  name: Identity & { readonly systems: readonly string[]; readonly tier: Tier },
): Out {
  const base = `${name.product}-${name.release}-${name.systems.join("+")}-${name.tier}`;
  if (split === undefined) {
    const path = resolve(cwd, out ?? `${base}.tar`);
    return { path, form: path.endsWith(".tar") ? "tar" : "directory" };
  }
  const path = resolve(cwd, out ?? `${base}.parts`);
  if (path.endsWith(".tar")) {
    fail("USAGE", { subject: "--out", expected: "a folder for the parts, with --split", actual: path });
  }
  return { path, form: "parts", cut: { tarName: `${base}.tar`, partSize: split } };
}
