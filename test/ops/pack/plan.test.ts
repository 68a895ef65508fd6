import { expect, it } from "vitest";
import { PackedDerivations } from "../../../src/bundle/packed.js";
import { planPaths } from "../../../src/ops/pack/plan.js";
import { makeRelease } from "../../support/release.js";

it("keeps reasons for what does not build the same twice only of derivations that it packs", () => {
  const { document, derivations, named } = makeRelease();
  const foreign = `/nix/store/${"9".repeat(32)}-imported.drv`;
  const known = [foreign, named.pumpDrv].map((drvPath) => ({ drvPath, reason: "time" }));
  const infos = new Map(document.paths.map((path) => [path.storePath, path]));
  const causes = new Map(
    document.paths.flatMap(({ storePath, cause }) => (cause === null ? [] : [[storePath, cause] as const])),
  );
  const packed = new PackedDerivations(derivations);
  const { draft, paths } = planPaths({ ...document, knownIrreproducible: known }, infos, causes, packed);
  expect(draft.knownIrreproducible).toEqual([{ drvPath: named.pumpDrv, reason: "time" }]);
  expect(paths.map(({ storePath }) => storePath)).toEqual(document.paths.map(({ storePath }) => storePath));
});
