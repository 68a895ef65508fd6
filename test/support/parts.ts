/** Bundles of one release with different roots, made by hand: what `bundle join` takes. */
import { PackedDerivations } from "../../src/bundle/packed.js";
import type { BundleDocument, Tier } from "../../src/generated/types.js";
import { draftDocument, file, type Release, Store, SYSTEM, seal, tree } from "./release.js";

export const ROOTS = ["a", "b", "c"] as const;
export type RootName = (typeof ROOTS)[number];

export interface Parts {
  readonly blobs: ReadonlyMap<string, Buffer>;
  readonly derivations: Release["derivations"];
  /** The document of a bundle that was packed for these roots. */
  documentOf(roots: Iterable<RootName>): BundleDocument;
}

/** Three roots that share a source and a fetched payload; `c` is built with `a`, and `b` imports from a derivation of its own. */
export function makeParts(tier: Tier = "source"): Parts {
  const store = new Store();
  const flake = store.flake("pump", {});
  const script = store.source("script.sh", file("echo made\n"));
  const payload = store.fixed("payload.bin", "flat", "sha256", file("payload\n"));
  const derive = (name: string, inputs: Record<string, readonly string[]>) =>
    store.derive(name, { srcs: [script], inputs, outputs: { out: () => tree({ name: file(`${name}\n`) }) } });
  const imported = derive("imported", {});
  const a = derive("a", { [payload.drvPath]: ["out"] });
  const b = derive("b", { [payload.drvPath]: ["out"] });
  const made = { a, b, c: derive("c", { [a.drvPath]: ["out"] }) };
  store.patch(imported.outputs["out"]!, { cause: "import-from-derivation" });

  const rootOf = ({ drvPath, outputs }: typeof a, attr: string): BundleDocument["roots"][number] => ({
    attr,
    drvPath,
    outputs: [{ name: "out", path: outputs["out"]! }],
    purpose: attr === "" ? "evaluation" : "output",
    system: SYSTEM,
  });
  return {
    blobs: store.blobs,
    derivations: store.derivations,
    documentOf(roots) {
      const names = [...new Set(roots)].sort();
      const outputs = names.map((name) => rootOf(made[name], `packages.${SYSTEM}.${name}`));
      const document = draftDocument({
        flake,
        inputs: [],
        product: "pump",
        roots: names.includes("b") && tier !== "runtime" ? [rootOf(imported, ""), ...outputs] : outputs,
        tier,
      });
      if (!names.includes("b")) store.patch(imported.outputs["out"]!, { cause: null });
      document.paths = store.pathsNeededBy(document);
      store.patch(imported.outputs["out"]!, { cause: "import-from-derivation" });
      seal(document);
      const packed = new PackedDerivations(
        new Map(
          [...store.derivations].filter(([path]) =>
            document.paths.some(({ storePath }) => storePath === path),
          ),
        ),
      );
      for (const path of document.paths) path.deriver = packed.outputs.get(path.storePath)?.drvPath ?? null;
      return document;
    },
  };
}
