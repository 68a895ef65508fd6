import { describe, expect, it } from "vitest";
import { checkLockFile, checkPins, lockFileOf } from "../../src/bundle/pins.js";
import type { BundleDocument } from "../../src/generated/types.js";
import { makeRelease, pathOf } from "../support/release.js";

const { named } = makeRelease();
const OTHER = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

function pinsOf(change: (document: BundleDocument) => void, wrapper = false) {
  const { document } = makeRelease({ wrapper });
  change(document);
  return checkPins(document);
}

/** The lock, with one text in it replaced. */
function relock(document: BundleDocument, from: string | RegExp, to: string): void {
  const { lock } = document.flake;
  document.flake.lock = lock!.replace(from, to);
  expect(document.flake.lock).not.toBe(lock);
}

describe("pins", () => {
  it("hold, with and without a wrapper", () => {
    expect(pinsOf(() => {})).toEqual([]);
    expect(pinsOf(() => {}, true)).toEqual([]);
  });

  it("name the input whose tree is another", () => {
    const findings = pinsOf((document) => {
      pathOf(document, named.motor).narHash = OTHER;
      document.inputs[0]!.narHash = OTHER;
    });
    expect(findings).toEqual([
      {
        code: "INPUT_NAR_HASH",
        subject: named.motor,
        expected: pathOf(makeRelease().document, named.motor).narHash,
        actual: OTHER,
        neededBy: ["input motor"],
      },
    ]);
  });

  it("say the name too: Nix looks for a tree of that hash under one name only", () => {
    const renamed = named.motor.replace("-source", "-other");
    const findings = pinsOf((document) => {
      pathOf(document, named.motor).storePath = renamed;
      document.inputs[0]!.storePath = renamed;
    });
    expect(findings).toMatchObject([{ code: "INPUT_NAR_HASH", expected: named.motor, actual: renamed }]);
  });

  it("are there for every input with a tree of its own", () => {
    const findings = pinsOf((document) => relock(document, /\n *"narHash": "[^"]*",/, ""));
    expect(findings).toMatchObject([{ code: "INPUT_NAR_HASH", expected: "a narHash in flake.lock" }]);
  });

  it("name the top flake when it is another", () => {
    const findings = pinsOf((document) => {
      pathOf(document, document.flake.storePath).narHash = OTHER;
    });
    expect(findings).toMatchObject([{ code: "FLAKE_NAR_HASH", actual: OTHER }]);
  });

  it("give the wrapper: another revision makes another", () => {
    const findings = pinsOf((document) => {
      document.flake.rev = "3".repeat(40);
    }, true);
    expect(findings).toMatchObject([{ code: "WRAPPER_DIFFERS" }]);
  });

  it("leave a lock that is none to V6", () => {
    const spoil = (document: BundleDocument) => {
      document.flake.lock = "{ }";
    };
    expect(pinsOf(spoil)).toEqual([]);
    expect(pinsOf(spoil, true)).toEqual([]);
  });
});

describe("flake.lock in the top flake's tree", () => {
  const { document } = makeRelease();
  const text = Buffer.from(document.flake.lock!);

  it("is where flake.nix is", () => {
    expect(lockFileOf(document)).toBe("flake.lock");
    expect(lockFileOf(makeRelease({ wrapper: true }).document)).toBe("nested/flake.lock");
  });

  it("has the text in the document, byte for byte", () => {
    expect(checkLockFile(document, text)).toEqual([]);
    for (const actual of [undefined, null, Buffer.from("{}"), Buffer.from(text).fill(0x20, 0, 1)]) {
      expect(checkLockFile(document, actual)).toMatchObject([{ code: "LOCK_DIFFERS" }]);
    }
  });

  it("is not there where the document has none", () => {
    const without = { ...document, flake: { ...document.flake, lock: null } };
    expect(checkLockFile(without, undefined)).toEqual([]);
    expect(checkLockFile(without, null)).toMatchObject([{ code: "LOCK_DIFFERS" }]);
    expect(checkLockFile(without, text)).toMatchObject([{ code: "LOCK_DIFFERS", expected: "no file" }]);
  });
});
