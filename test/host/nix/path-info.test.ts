import { expect, it } from "vitest";
import { parsePathInfo } from "../../../src/host/nix/path-info.js";

const PATH = "/nix/store/0000000000000000000000000000000a-a";
const OTHER = "/nix/store/0000000000000000000000000000000b-b";
const SRI = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
const NIX32 = "sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73";
const info = {
  narHash: SRI,
  narSize: 120,
  references: [PATH, OTHER],
  deriver: `${OTHER}.drv`,
  signatures: ["b:1", "a:2", "b:1"],
};
const expected = {
  storePath: PATH,
  narHash: SRI,
  narSize: 120,
  references: [PATH, OTHER],
  deriver: `${OTHER}.drv`,
  ca: null,
  signatures: ["a:2", "b:1"],
};
const base = (path: string) => path.slice("/nix/store/".length);

it.each([
  [
    "2.8",
    [
      { path: PATH, ...info },
      { path: OTHER, valid: false },
    ],
  ],
  ["2.26", { [PATH]: { ...info, narHash: NIX32 }, [OTHER]: null }],
  [
    "2.34, format 2",
    {
      version: 2,
      storeDir: "/nix/store",
      info: {
        [base(PATH)]: { ...info, references: info.references.map(base), deriver: base(info.deriver) },
        [base(OTHER)]: null,
      },
    },
  ],
])("reads what Nix %s prints, and leaves invalid paths out", (_, json) => {
  expect(parsePathInfo(JSON.stringify(json), "/nix/store")).toMatchObject([expected]);
});
