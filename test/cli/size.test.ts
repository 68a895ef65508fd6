import { describe, expect, it } from "vitest";
import { checkSize, parseSize } from "../../src/cli/size.js";

describe("the size of a part", () => {
  it.each<[string, number]>([
    ["700000000", 700_000_000],
    ["1", 1],
    ["650M", 650_000_000],
    ["4GB", 4_000_000_000],
    ["4gb", 4_000_000_000],
    ["4GiB", 4_294_967_296],
    ["64KiB", 65_536],
    ["1T", 1e12],
    ["fat32", 4_293_918_720],
    ["CD", 681_574_400],
  ])("%s is %i bytes", (text, bytes) => {
    expect([parseSize(text), checkSize(text)]).toEqual([bytes, null]);
  });

  it("that fits a medium leaves room for the small files beside it", () => {
    const sizes = { fat32: 2 ** 32 - 1, cd: 737_280_000, dvd: 4_700_372_992, bd: 25_025_314_816 };
    for (const [name, size] of Object.entries(sizes)) {
      expect(parseSize(name), name).toBeLessThan(size);
      if (name !== "fat32") expect(parseSize(name), name).toBeLessThan(size - 2 ** 24);
    }
  });

  it.each(["", "0", "0M", "-1", "1.5G", "1 GB", "4GB ", "G", "1e9", "4Gb/s", "9999999T", "floppy"])(
    "%j is none, and what is one is said",
    (text) => {
      expect(parseSize(text)).toBeNull();
      expect(checkSize(text)).toMatch(/4GiB.*fat32/);
    },
  );
});
