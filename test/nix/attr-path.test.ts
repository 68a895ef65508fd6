import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatAttrPath, parseAttrPath } from "../../src/nix/attr-path.js";
import { isApp, isDevShell, wholeAttr } from "../../src/nix/flake-outputs.js";

describe("attribute paths", () => {
  it.each([
    ["a.b", ["a", "b"]],
    ['packages.x."a.b c".d', ["packages", "x", "a.b c", "d"]],
    ['a"b.c"d', ["ab.cd"]],
    ["", [""]],
  ])("%s", (text, names) => {
    expect(parseAttrPath(text)).toEqual(names);
  });

  it("are refused where a quote is not closed", () => {
    expect(() => parseAttrPath('a."b')).toThrow(expect.objectContaining({ code: "USAGE" }));
  });

  it("printed and parsed are the same names, unless they cannot be said", () => {
    const names = fc.array(fc.string({ unit: "grapheme", minLength: 1 }), { minLength: 1 });
    fc.assert(
      fc.property(names, (path) => {
        const text = formatAttrPath(path);
        if (path.some((name) => /["\x00-\x1f\x7f]/.test(name))) expect(text).toBeNull();
        else expect(parseAttrPath(text!)).toEqual(path);
      }),
    );
  });
});

describe("outputs of a flake", () => {
  it("a configuration by its name stands for its system", () => {
    expect(wholeAttr("nixosConfigurations.ward")).toBe(
      "nixosConfigurations.ward.config.system.build.toplevel",
    );
    expect(wholeAttr('nixosConfigurations."a.b"')).toBe(
      'nixosConfigurations."a.b".config.system.build.toplevel',
    );
    expect(wholeAttr("nixosConfigurations.ward.config.x")).toBe("nixosConfigurations.ward.config.x");
  });

  it("are told apart by their first names", () => {
    expect(
      ["apps.x86_64-linux.default", "apps", "defaultApp.x86_64-linux", "packages.x.apps.y.z"].map(isApp),
    ).toEqual([true, false, true, false]);
    expect(["devShells.x.default", "devShell.x", "devShellsX.y"].map(isDevShell)).toEqual([
      true,
      true,
      false,
    ]);
  });
});
