import { describe, expect, it } from "vitest";
import { requireFitsFat, warnOfFat } from "../../src/ops/fat.js";
import { tempDir, testContext } from "../support/bundle.js";

const fat = async () => ({ isFat: true });
const GIB = 1024 ** 3;

describe("a FAT file system", () => {
  it("takes no file of 4 GiB: that is said first, with the way that there is", async () => {
    await requireFitsFat("/media/usb", 4 * GIB - 1, fat);
    await expect(requireFitsFat("/media/usb", 4 * GIB, fat)).rejects.toThrow(
      expect.objectContaining({
        code: "DISK",
        details: expect.objectContaining({ hint: expect.stringContaining("--split fat32") }),
      }),
    );
    // This machine's.
    await requireFitsFat(tempDir(), 1e15);
  });

  it("takes some 10,900 blobs in a folder: of more there is a note", async () => {
    const context = testContext();
    await warnOfFat("/media/usb", 10_922, context, fat);
    await warnOfFat(tempDir(), 1e6, context);
    expect(context.events).toEqual([]);
    await warnOfFat("/media/usb", 10_923, context, fat);
    expect(context.events).toEqual([
      { type: "note", text: expect.stringMatching(/10922 blobs.*bundle split BUNDLE --size fat32/) },
    ]);
  });
});
