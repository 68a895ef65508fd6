/**
 * A stand-in for nixpkgs: a flake whose locked input has as many files as one asks for, a few of them for each package, and whose
 * one root needs every package. Evaluation reads a folder's listing and a file for each, as nixpkgs does. Builders are one `echo`
 * of the host's shell, so that the real Nix builds thousands of them in minutes.
 */
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { hashPath } from "../../../src/host/disk-nar.js";
import { SYSTEM } from "../fixtures.js";
import { commitAll } from "../git.js";
import { type Graph, softwareGraph, type Unit } from "./graph.js";

export interface NixpkgsSize {
  /** In the locked input, all in all. */
  readonly files: number;
  /** Derivations that build something, without the root. */
  readonly derivations: number;
  /** Fixed-output derivations. */
  readonly sources: number;
}

export const NIXPKGS: NixpkgsSize = { files: 60_000, derivations: 6000, sources: 3000 };

export function scaledNixpkgs(share: number): NixpkgsSize {
  const { files, derivations, sources } = NIXPKGS;
  const scale = (count: number) => Math.round(count * share);
  return { files: scale(files), derivations: scale(derivations), sources: scale(sources) };
}

export interface StandIn {
  /** For `nix-airgap pack`. */
  readonly ref: string;
  /** Store paths of a bundle of tier source. */
  readonly paths: number;
}

/** Lays it out in `dir`, which must be empty: the same bytes every time. Builds nothing. */
export function makeNixpkgs(dir: string, size: NixpkgsSize): StandIn {
  const { derivations: units, sources } = size;
  const patches = Math.floor(units / 10);
  const graph = softwareGraph({ units, sources, patches });
  writeAll(join(dir, "stock"), stockFiles(graph, size.files));
  const fetched = graph.units.flatMap(({ source }): [string, string][] =>
    source === null ? [] : [[source, sourceText(source)]],
  );
  writeAll(join(dir, "sources"), fetched);
  const product = join(dir, "product");
  writeAll(product, productFiles(dir));
  commitAll(product, "Add the product");
  // The flake, its input and the builder; the root and each unit with derivation and output; sources; patches.
  return { ref: `git+file://${product}`, paths: 3 + 2 * (units + 1) + 2 * sources + patches };
}

type Files = readonly (readonly [name: string, text: string])[];

function writeAll(dir: string, files: Files): void {
  const folders = new Set(files.map(([name]) => dirname(join(dir, name))));
  for (const folder of folders) mkdirSync(folder, { recursive: true });
  for (const [name, text] of files) writeFileSync(join(dir, name), text);
}

function stockFiles({ units, top }: Graph, count: number): Files {
  const files: [string, string][] = [
    ["builder.sh", `echo "$name: $uses" > "$out"\n`],
    ["default.nix", packageSet(top.map((unit) => units[unit]!.name))],
  ];
  for (const unit of units) {
    const folder = folderOf(unit);
    files.push([`${folder}/package.nix`, packageFile(unit, units)]);
    if (unit.hasPatch) files.push([`${folder}/fix.patch`, `A patch for ${unit.name}.\n`]);
  }
  for (let i = files.length, n = 0; i < count; i++, n++) {
    const { name } = units[n % units.length]!;
    const folder = folderOf({ name });
    files.push([`${folder}/notes-${Math.floor(n / units.length)}.txt`, `Note ${n}, of ${name}.\n`]);
  }
  return files;
}

/** By the last two digits, so that packages that are near each other in the graph are in different folders. */
function folderOf({ name }: Pick<Unit, "name">): string {
  return `pkgs/by-name/${name.slice(-2)}/${name}`;
}

function packageSet(top: readonly string[]): string {
  return `# Every package, as nixpkgs finds those in pkgs/by-name; and one that needs them all.
{ system, sources }:
let
  byName = ./pkgs/by-name;
  namesIn = folder: builtins.attrNames (builtins.readDir folder);
  packages = builtins.listToAttrs (builtins.concatMap
    (shard: map
      (name: { inherit name; value = callPackage (byName + "/\${shard}/\${name}/package.nix"); })
      (namesIn (byName + "/\${shard}")))
    (namesIn byName));
  callPackage = file:
    let package = import file; in package (builtins.intersectAttrs (builtins.functionArgs package) scope);
  scope = packages // { inherit mk fetch; };
  mk = { name, deps ? [ ], uses ? [ ], src ? "", patch ? "" }: derivation {
    inherit name system deps uses src patch;
    builder = "/bin/sh";
    args = [ ./builder.sh ];
  };
  fetch = name: hash: derivation {
    inherit name;
    system = "builtin";
    builder = "builtin:fetchurl";
    url = "\${sources}/\${name}";
    outputHashMode = "flat";
    outputHashAlgo = "sha256";
    outputHash = hash;
    preferLocalBuild = true;
  };
  top = map (name: packages.\${name}) [ ${top.map((name) => `"${name}"`).join(" ")} ];
in
packages // { product = mk { name = "product"; deps = top; uses = top; }; }
`;
}

function packageFile({ name, inputs, references, source, hasPatch }: Unit, units: readonly Unit[]): string {
  const nameOf = (unit: number) => units[unit]!.name;
  const list = (some: readonly number[]) => ["[", ...some.map(nameOf), "]"].join(" ");
  const isUsed = new Set(references);
  return `{ ${["mk", "fetch", ...inputs.map(nameOf)].join(", ")} }:
mk {
  name = "${name}";
  deps = ${list(inputs.filter((input) => !isUsed.has(input)))};
  uses = ${list(references)};
${source === null ? "" : `  src = fetch "${source}" "${hex(sourceText(source))}";\n`}${hasPatch ? "  patch = ./fix.patch;\n" : ""}}
`;
}

function sourceText(name: string): string {
  return `The source ${name}.\n`;
}

function hex(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** The lock is written here, since Nix would copy the input into a store for it. */
function productFiles(dir: string): Files {
  const stock = { path: join(dir, "stock"), type: "path" };
  const locked = { narHash: hashPath(stock.path).narHash, ...stock };
  const lock = {
    nodes: { root: { inputs: { stock: "stock" } }, stock: { flake: false, locked, original: stock } },
    root: "root",
    version: 7,
  };
  return [
    ["flake.lock", `${JSON.stringify(lock, null, 2)}\n`],
    [
      "flake.nix",
      `{
  inputs.stock = { url = "path:${stock.path}"; flake = false; };
  outputs = { self, stock }: {
    packages.${SYSTEM}.default =
      (import stock { system = "${SYSTEM}"; sources = "file://${join(dir, "sources")}"; }).product;
  };
}
`,
    ],
  ];
}
