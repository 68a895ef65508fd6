import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { command } from "../../src/cli/command.js";
import { parseCommandLine } from "../../src/cli/parse.js";
import { MEDIA, parseSize, partSizeOption } from "../../src/cli/size.js";

describe("a size", () => {
  it.each([
    ["1", 1],
    ["4700000000", 4_700_000_000],
    ["4.7GB", 4_700_000_000],
    ["4GB", 4_000_000_000],
    ["4GiB", 4 * 2 ** 30],
    ["650M", 650 * 2 ** 20],
    ["1.5K", 1536],
    ["1kB", 1000],
    ["2T", 2 * 2 ** 40],
    ["0.001KiB", 1],
    ["9007199254740991", Number.MAX_SAFE_INTEGER],
  ])("%s is %i bytes", (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each(["", "0", "0GB", "-1", "1.5", "4 GB", "4gb", "4Gib", "GB", "1e9", "007", "4.GB", "0.0001KiB"])(
    "%j is none",
    (text) => {
      expect(parseSize(text)).toBeNull();
    },
  );

  it("is none beyond what a number holds exactly", () => {
    for (const text of ["9007199254740992", "9007199254740991K", "9999999999999999T"]) {
      expect(parseSize(text), text).toBeNull();
    }
  });

  it("of plain bytes means itself, whatever their number", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), (bytes) => {
        expect(parseSize(String(bytes))).toBe(bytes);
      }),
    );
  });

  it("is what an option of that kind takes, and all else is refused by name", () => {
    const sized = command({
      name: "sized",
      summary: "",
      description: "",
      positional: { name: "X", count: "none" },
      options: { room: { kind: "size", describe: "SIZE" }, part: partSizeOption },
      examples: [],
      run: () => Promise.reject(new Error("not run")),
    });
    const read = (...argv: string[]) => {
      const parsed = parseCommandLine(["sized", ...argv], [sized], 80);
      return parsed.kind === "run" ? parsed.args.options : parsed.text;
    };
    expect(read()).toMatchObject({ room: undefined, part: undefined });
    expect(read("--room", "1KiB", "--part", "cd")).toMatchObject({ room: 1024, part: 681_574_400 });
    expect(read("--part", "650M")).toMatchObject({ part: 681_574_400 });
    expect(() => read("--room", "1 K")).toThrow("--room takes a size");
    expect(() => read("--room", "cd")).toThrow("--room takes a size");
    expect(() => read("--part", "floppy")).toThrow(/--part takes a size .*fat32, cd, dvd, bd, not "floppy"/);
  });

  it("of a part leaves room on its medium for the small files beside it", () => {
    const sizes = { fat32: 2 ** 32 - 1, cd: 737_280_000, dvd: 4_700_372_992, bd: 25_025_314_816 };
    expect([...MEDIA.keys()]).toEqual(Object.keys(sizes));
    for (const [name, size] of Object.entries(sizes)) {
      expect(MEDIA.get(name), name).toBeLessThan(name === "fat32" ? size : size - 2 ** 24);
    }
  });
});
