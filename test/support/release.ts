/**
 * A release made by hand, without Nix: every path, NAR, derivation and hash is consistent, so that verification
 * passes; tests change one thing in it. Writing it out as a bundle is in bundle.ts.
 *
 * A product `pump` (outputs out and dev) made by a derivation from a fetched payload (flat), a vendored tree
 * (recursive SHA-1), a build tool and a script; parameters imported from a derivation; a text and a tree that refers
 * to itself, both made at evaluation; one input.
 */
import { kindSets } from "../../src/bundle/kinds.js";
import { seedsOf } from "../../src/bundle/needs.js";
import { PackedDerivations } from "../../src/bundle/packed.js";
import { wrapperOf } from "../../src/bundle/wrapper.js";
import type { BundleDocument, Path, Tier } from "../../src/generated/types.js";
import { formatContentAddress } from "../../src/nix/content-address.js";
import { type Derivation, type DerivationOutput, formatDerivation } from "../../src/nix/derivation.js";
import { DerivationHasher, derivationReferences, drvPathFromBytes } from "../../src/nix/derivation-hash.js";
import { formatHex, formatSri, type Hash, hashOf } from "../../src/nix/hash.js";
import { HashModulo } from "../../src/nix/hash-modulo.js";
import { type NarNode, writeNar } from "../../src/nix/nar-writer.js";
import { makeFixedOutputPath, makeSourcePath, makeTextPath } from "../../src/nix/store-path.js";
import { compress } from "./zstd.js";

export interface Release {
  readonly document: BundleDocument;
  /** By hex SHA-256: the compressed NARs, and docs. */
  readonly blobs: ReadonlyMap<string, Buffer>;
  readonly derivations: ReadonlyMap<string, Derivation>;
  /** Store paths by what they are. */
  readonly named: Readonly<Record<Name, string>>;
}

type Name =
  | "flake"
  | "motor"
  | "wrapper"
  | "script"
  | "limits"
  | "selfish"
  | "payload"
  | "payloadDrv"
  | "vendored"
  | "vendoredDrv"
  | "codegen"
  | "codegenDrv"
  | "parameters"
  | "parametersDrv"
  | "pump"
  | "pumpDev"
  | "pumpDrv";

export interface ReleaseOptions {
  readonly tier?: Tier;
  /** Evaluate through a wrapper, the flake being in a subfolder. */
  readonly wrapper?: boolean;
  /** The Nix by whose rule a tree is named that refers to itself, which no other Nix imports; false for no such tree. */
  readonly selfReferring?: "2.8" | "newer" | false;
}

/** That all derivations are for. */
export const SYSTEM = "x86_64-linux";
const NOTICE = Buffer.from("Notice.\n");

export function makeRelease({
  tier = "source",
  wrapper = false,
  selfReferring = "2.8",
}: ReleaseOptions = {}): Release {
  const store = new Store();
  const motor = store.source("source", tree({ "motor.nix": "{ }\n" }));
  const flake = store.flake("pump", { motor }, wrapper ? "nested" : "");
  const wrapperPath = wrapper ? store.addNar(wrapperOf(flake).storePath, wrapperOf(flake).nar) : null;
  if (wrapperPath !== null) store.setSourceAddress(wrapperPath);

  const script = store.source("script.sh", file("echo made\n"));
  const limits = store.text("limits", `see ${script}\n`, [script]);
  const selfish = selfReferring
    ? store.selfReferring("selfish", selfReferring, (self) => tree({ me: `I am ${self}\n` }))
    : "";

  const payload = store.fixed("payload.bin", "flat", "sha256", file("payload\n"));
  const vendored = store.fixed("vendored", "nar", "sha1", tree({ "lib.txt": "vendored\n" }));
  const codegen = store.derive("codegen", { srcs: [script], outputs: { out: () => file("codegen\n") } });
  const parameters = store.derive("parameters.nix", {
    inputs: { [codegen.drvPath]: ["out"] },
    outputs: { out: () => file("[ ]\n") },
  });
  const pump = store.derive("pump", {
    srcs: [script, limits],
    inputs: { [codegen.drvPath]: ["out"], [payload.drvPath]: ["out"], [vendored.drvPath]: ["out"] },
    outputs: {
      dev: ({ out }) => tree({ "pump.pc": `prefix=${out}\n` }),
      out: ({ out }) => tree({ bin: tree({ pump: `exec ${out}/lib ${payload.outputs["out"]}\n` }) }),
    },
    references: {
      dev: ({ out }) => [out!],
      out: ({ out }) => [out!, payload.outputs["out"]!],
    },
  });
  for (const path of selfReferring ? [limits, selfish] : [limits]) store.patch(path, { cause: "fetched" });
  store.patch(parameters.outputs["out"]!, { cause: "import-from-derivation" });

  const named = {
    flake: flake.storePath,
    motor,
    wrapper: wrapperPath ?? "",
    script,
    limits,
    selfish,
    payload: payload.outputs["out"]!,
    payloadDrv: payload.drvPath,
    vendored: vendored.outputs["out"]!,
    vendoredDrv: vendored.drvPath,
    codegen: codegen.outputs["out"]!,
    codegenDrv: codegen.drvPath,
    parameters: parameters.outputs["out"]!,
    parametersDrv: parameters.drvPath,
    pump: pump.outputs["out"]!,
    pumpDev: pump.outputs["dev"]!,
    pumpDrv: pump.drvPath,
  };
  const document = draftDocument({
    docs: [
      {
        mediaType: "text/plain",
        name: "notice.txt",
        sha256: formatHex(hashOf("sha256", NOTICE)),
        size: NOTICE.length,
      },
    ],
    evaluation: { env: [], method: wrapper ? "wrapper" : "topq", pure: true, wrapper: wrapperPath },
    flake,
    inputs: [{ narHash: store.get(motor).narHash, node: "motor", parent: null, storePath: motor }],
    product: "pump",
    roots: [
      {
        attr: "",
        drvPath: parameters.drvPath,
        outputs: [{ name: "out", path: named.parameters }],
        purpose: "evaluation",
        system: SYSTEM,
      },
      {
        attr: `packages.${SYSTEM}.default`,
        drvPath: pump.drvPath,
        outputs: [
          { name: "dev", path: named.pumpDev },
          { name: "out", path: named.pump },
        ],
        purpose: "output",
        system: SYSTEM,
      },
    ],
    tier,
  });
  document.paths = store.pathsNeededBy(document);
  seal(document);
  const blobs = new Map([...store.blobs, [document.docs[0]!.sha256, NOTICE]]);
  return { document, blobs, derivations: store.derivations, named };
}

/** A document without paths: what every release made by hand has in common, and what is its own. */
export function draftDocument(
  own: Pick<BundleDocument, "flake" | "inputs" | "product" | "roots" | "tier"> & Partial<BundleDocument>,
): BundleDocument {
  return {
    created: "2024-03-01T12:00:00Z",
    docs: [],
    evaluation: { env: [], method: "topq", pure: true, wrapper: null },
    features: ["approvals"],
    format: "nix-airgap-bundle",
    knownIrreproducible: [],
    minimumNix: "2.8.0",
    paths: [],
    previous: null,
    release: "1.0.0",
    requires: [],
    sequence: 1709294400,
    storeDir: "/nix/store",
    systems: [SYSTEM],
    tools: { nix: "2.8.0", nixAirgap: "0.1.0" },
    totals: { blobBytes: 0, blobs: 0, narBytes: 0, paths: 0 },
    version: "1.1",
    ...own,
  };
}

/** Sorts the paths and adds up the totals, after a test changed them. */
export function seal(document: BundleDocument): void {
  const { paths } = document;
  paths.sort((a, b) => (a.storePath < b.storePath ? -1 : 1));
  const blobs = new Map(paths.map(({ blob, blobSize }) => [blob, blobSize]));
  document.totals = {
    paths: paths.length,
    narBytes: paths.reduce((sum, { narSize }) => sum + narSize, 0),
    blobs: blobs.size,
    blobBytes: [...blobs.values()].reduce((sum, size) => sum + size, 0),
  };
}

export function pathOf(document: BundleDocument, storePath: string): Path {
  const path = document.paths.find((candidate) => candidate.storePath === storePath);
  if (path === undefined) throw new Error(`${storePath} is not in the document`);
  return path;
}

/** The NAR and blob of a path, as the document has them. */
export function describeNar(
  nar: Uint8Array,
  compressed: (nar: Uint8Array) => Buffer = compress,
): {
  readonly fields: Pick<Path, "blob" | "blobSize" | "narHash" | "narSize">;
  readonly blob: Buffer;
} {
  const blob = compressed(nar);
  return {
    fields: {
      blob: formatHex(hashOf("sha256", blob)),
      blobSize: blob.length,
      narHash: formatSri(hashOf("sha256", nar)),
      narSize: nar.length,
    },
    blob,
  };
}

export function file(text: string, executable = false): NarNode {
  return { kind: "regular", executable, contents: Buffer.from(text) };
}

export function tree(entries: Readonly<Record<string, NarNode | string>>): NarNode {
  return {
    kind: "directory",
    entries: Object.entries(entries).map(([name, node]) => ({
      name: Buffer.from(name),
      node: typeof node === "string" ? file(node) : node,
    })),
  };
}

/** Of inputs by name, with their NAR hashes. */
function lockText(inputs: Readonly<Record<string, string>>): string {
  const nodes = Object.entries(inputs).map(([name, narHash]) => {
    const original = { owner: "example", repo: name, type: "github" };
    return [name, { locked: { lastModified: 1, narHash, rev: "2".repeat(40), ...original }, original }];
  });
  const root = { inputs: Object.fromEntries(Object.keys(inputs).map((name) => [name, name])) };
  return `${JSON.stringify({ nodes: { ...Object.fromEntries(nodes), root }, root: "root", version: 7 }, null, 2)}\n`;
}

interface DeriveOptions {
  readonly srcs?: readonly string[];
  readonly inputs?: Readonly<Record<string, readonly string[]>>;
  /** By name; each is given all output paths. */
  readonly outputs: Readonly<Record<string, (paths: Record<string, string>) => NarNode>>;
  readonly references?: Readonly<Record<string, (paths: Record<string, string>) => readonly string[]>>;
}

interface Derived {
  readonly drvPath: string;
  readonly outputs: Readonly<Record<string, string>>;
}

/** Grows path by path, as a store does. */
export class Store {
  readonly derivations = new Map<string, Derivation>();
  readonly blobs = new Map<string, Buffer>();
  readonly #paths = new Map<string, Path>();
  readonly #compress: (nar: Uint8Array) => Buffer;
  /** The derivation whose output paths are being looked for. */
  #draft: { readonly drvPath: string; readonly derivation: Derivation } | undefined;
  /** One for all, so that each is hashed once. */
  readonly #hasher = new DerivationHasher((path) =>
    path === this.#draft?.drvPath ? this.#draft.derivation : this.derivations.get(path),
  );

  constructor(compressed: (nar: Uint8Array) => Buffer = compress) {
    this.#compress = compressed;
  }

  get(storePath: string): Path {
    return this.#paths.get(storePath)!;
  }

  patch(storePath: string, fields: Partial<Path>): void {
    this.#paths.set(storePath, { ...this.get(storePath), ...fields });
  }

  addNar(storePath: string, nar: Uint8Array, fields: Partial<Path> = {}): string {
    const { fields: described, blob } = describeNar(nar, this.#compress);
    this.blobs.set(described.blob, blob);
    this.#paths.set(storePath, {
      ca: null,
      cause: null,
      compression: "zstd",
      deriver: null,
      kinds: [],
      references: [],
      signatures: [],
      storePath,
      ...described,
      ...fields,
    });
    return storePath;
  }

  setSourceAddress(storePath: string): void {
    const hash = { algorithm: "sha256", digest: Buffer.from(this.get(storePath).narHash.slice(7), "base64") };
    this.patch(storePath, {
      ca: formatContentAddress({ kind: "fixed", method: "nar", hash: hash as Hash }),
    });
  }

  source(name: string, node: NarNode): string {
    const nar = writeNar(node);
    const storePath = this.addNar(makeSourcePath(hashOf("sha256", nar), name), nar);
    this.setSourceAddress(storePath);
    return storePath;
  }

  /** A flake whose lock has these inputs, given by store path. */
  flake(product: string, inputs: Readonly<Record<string, string>>, dir = ""): BundleDocument["flake"] {
    const hashes = Object.entries(inputs).map(([name, path]) => [name, this.get(path).narHash] as const);
    const lock = lockText(Object.fromEntries(hashes));
    const files = tree({ "flake.nix": "{ outputs = _: { }; }\n", "flake.lock": lock });
    const storePath = this.source("source", dir === "" ? files : tree({ [dir]: files }));
    return {
      dir,
      lastModified: 1709294400,
      lock,
      narHash: this.get(storePath).narHash,
      ref: null,
      rev: "1".repeat(40),
      revCount: 2,
      storePath,
      submodules: false,
      url: `git+https://example.org/${product}`,
    };
  }

  text(name: string, text: string, references: readonly string[]): string {
    const hash = hashOf("sha256", text);
    const ca = formatContentAddress({ kind: "text", hash });
    const sorted = [...references].sort();
    return this.addNar(makeTextPath(hash, name, sorted), writeNar(file(text)), { ca, references: sorted });
  }

  selfReferring(name: string, rule: "2.8" | "newer", content: (self: string) => NarNode): string {
    const dummy = `/nix/store/${"0".repeat(32)}-${name}`;
    const modulo = new HashModulo("sha256", "0".repeat(32));
    modulo.update(writeNar(content(dummy)));
    const { withPositions, withoutPositions } = modulo.digests()!;
    const hash = rule === "2.8" ? withPositions : withoutPositions;
    const storePath = makeSourcePath(hash, name, { references: [], self: true });
    const ca = formatContentAddress({ kind: "fixed", method: "nar", hash });
    return this.addNar(storePath, writeNar(content(storePath)), { ca, references: [storePath] });
  }

  fixed(name: string, method: "flat" | "nar", algorithm: "sha256" | "sha1", node: NarNode): Derived {
    const nar = writeNar(node);
    const flat = node.kind === "regular" ? node.contents : nar;
    const hash = hashOf(algorithm, method === "flat" ? flat : nar);
    const path = makeFixedOutputPath(method, hash, name);
    const output: DerivationOutput = { kind: "fixed", path, method, hash };
    const drvPath = this.#addDerivation(name, {
      ...this.#recipe("fixed", {}, []),
      outputs: new Map([["out", output]]),
      env: new Map([
        ["name", name],
        ["out", path],
        ["outputHash", formatHex(hash)],
      ]),
    });
    const ca = formatContentAddress({ kind: "fixed", method, hash });
    this.addNar(path, nar, { ca, deriver: drvPath });
    return { drvPath, outputs: { out: path } };
  }

  derive(name: string, { srcs = [], inputs = {}, outputs, references = {} }: DeriveOptions): Derived {
    const names = Object.keys(outputs).sort();
    const withPaths = (paths: Readonly<Record<string, string>>): Derivation => ({
      ...this.#recipe("input-addressed", inputs, srcs),
      outputs: new Map(names.map((output) => [output, { kind: "input-addressed", path: paths[output]! }])),
      env: new Map([["name", name], ...Object.entries(paths)].sort() as [string, string][]),
    });
    const dummy = withPaths(Object.fromEntries(names.map((output) => [output, "/none"])));
    const dummyPath = drvPathFromBytes(formatDerivation(dummy), name, dummy);
    this.#draft = { drvPath: dummyPath, derivation: dummy };
    const paths = Object.fromEntries(this.#hasher.outputPaths(dummyPath));
    const drvPath = this.#addDerivation(name, withPaths(paths));
    for (const output of names) {
      this.addNar(paths[output]!, writeNar(outputs[output]!(paths)), {
        deriver: drvPath,
        references: [...(references[output]?.(paths) ?? [])].sort(),
      });
    }
    return { drvPath, outputs: paths };
  }

  /** With the kinds that follow from the roots; what nothing needs at this tier is left out. */
  pathsNeededBy(document: BundleDocument): Path[] {
    const all = { ...document, paths: [...this.#paths.values()] };
    const sets = kindSets(this.#paths, seedsOf(all, new PackedDerivations(this.derivations)));
    const present = new Set(
      [...this.#paths.keys()].filter((path) => [...sets.values()].some((set) => set.has(path))),
    );
    return [...present].map((storePath) => {
      const path = this.get(storePath);
      const deriver = path.deriver !== null && present.has(path.deriver) ? path.deriver : null;
      const kinds = [...sets].flatMap(([kind, set]) => (set.has(storePath) ? [kind] : []));
      return { ...path, deriver, kinds };
    });
  }

  #recipe(
    kind: "fixed" | "input-addressed",
    inputs: Readonly<Record<string, readonly string[]>>,
    srcs: readonly string[],
  ) {
    return {
      kind,
      inputDrvs: new Map(Object.entries(inputs).sort(([a], [b]) => (a < b ? -1 : 1))),
      inputSrcs: [...srcs].sort(),
      system: SYSTEM,
      builder: "/bin/sh",
      args: ["-e", ...srcs],
    };
  }

  #addDerivation(name: string, derivation: Derivation): string {
    const bytes = formatDerivation(derivation);
    const drvPath = drvPathFromBytes(bytes, name, derivation);
    this.derivations.set(drvPath, derivation);
    const ca = formatContentAddress({ kind: "text", hash: hashOf("sha256", bytes) });
    return this.addNar(drvPath, writeNar(file(Buffer.from(bytes).toString("latin1"))), {
      ca,
      references: derivationReferences(derivation),
    });
  }
}
