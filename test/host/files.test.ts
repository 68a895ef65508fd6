import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  asDiskError,
  copyFileAtomic,
  exists,
  fileSystemOf,
  makeTempDir,
  moveFile,
  removeTree,
  requireSpace,
  writeFileAtomic,
} from "../../src/host/files.js";

const dir = mkdtempSync(join(tmpdir(), "files-test-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const refusal = (code: string, subject: string) =>
  expect.objectContaining({ code, details: expect.objectContaining({ subject }) });

/** Root may do anything: be somebody else meanwhile. */
async function asNobody<T>(action: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0) return action();
  process.seteuid?.(65534);
  try {
    return await action();
  } finally {
    process.seteuid?.(0);
  }
}

describe("writing", () => {
  it("replaces a file, and leaves nothing else", async () => {
    const own = mkdtempSync(join(dir, "w"));
    const path = join(own, "a b?c#d%20é");
    await writeFileAtomic(path, "one");
    await writeFileAtomic(path, Buffer.from("two"));
    expect(readFileSync(path, "utf8")).toBe("two");
    expect(readdirSync(own)).toEqual(["a b?c#d%20é"]);
  });

  it("leaves the old file and no partial one when it fails", async () => {
    const own = mkdtempSync(join(dir, "w"));
    mkdirSync(join(own, "taken"));
    const path = join(own, "taken");
    writeFileSync(join(path, "x"), "");
    await expect(writeFileAtomic(path, "one")).rejects.toThrow(refusal("DISK", path));
    expect(readdirSync(own)).toEqual(["taken"]);
    const absent = join(own, "absent/file");
    await expect(writeFileAtomic(absent, "one")).rejects.toThrow(refusal("DISK", absent));
  });

  it("names the path that it may not write", async () => {
    const own = mkdtempSync(join(dir, "w"));
    chmodSync(dir, 0o755);
    chmodSync(own, 0o555);
    const path = join(own, "x");
    await asNobody(() => expect(writeFileAtomic(path, "one")).rejects.toThrow(refusal("DISK", path)));
  });

  it("tells a full disk from other errors, and leaves bugs alone", () => {
    const error = (code: string) => Object.assign(new Error(code), { code, syscall: "write" });
    expect(asDiskError(error("ENOSPC"), "p")).toEqual(refusal("NO_SPACE", "p"));
    expect(asDiskError(error("EDQUOT"), "p")).toEqual(refusal("NO_SPACE", "p"));
    expect(asDiskError(error("EROFS"), "p")).toEqual(refusal("DISK", "p"));
    const bug = new TypeError("x is not a function");
    expect(asDiskError(bug, "p")).toBe(bug);
  });
});

describe("copying and moving", () => {
  it("copies a file whole", async () => {
    const from = join(dir, "from");
    writeFileSync(from, "content");
    await copyFileAtomic(from, join(dir, "copy"));
    expect(readFileSync(join(dir, "copy"), "utf8")).toBe("content");
    await moveFile(join(dir, "copy"), join(dir, "moved"));
    expect(readFileSync(join(dir, "moved"), "utf8")).toBe("content");
    expect(existsSync(join(dir, "copy"))).toBe(false);
  });

  const other = "/dev/shm";
  const hasOther = existsSync(other) && statSync(other).dev !== statSync(dir).dev;
  it.skipIf(!hasOther)("moves to another file system", async () => {
    const place = mkdtempSync(join(other, "files-test-"));
    try {
      const from = join(dir, "from");
      writeFileSync(from, "content");
      await moveFile(from, join(place, "to"));
      expect(readFileSync(join(place, "to"), "utf8")).toBe("content");
      expect(existsSync(from)).toBe(false);
      expect(readdirSync(place)).toEqual(["to"]);
    } finally {
      rmSync(place, { recursive: true });
    }
  });
});

describe("places", () => {
  it("makes a folder that only we can enter", async () => {
    const path = await makeTempDir("x-", dir);
    expect(statSync(path).mode & 0o777).toBe(0o700);
    const absent = join(dir, "absent");
    await expect(makeTempDir("x-", absent)).rejects.toThrow(refusal("DISK", absent));
  });

  it("knows the free space of what does not exist yet", async () => {
    const here = await fileSystemOf(dir);
    const there = await fileSystemOf(join(dir, "not/yet/there"));
    expect(here.freeBytes).toBeGreaterThan(0);
    expect(there.isFat).toBe(false);
    const need = (bytes: number) => ({ path: dir, bytes, elsewhere: "take another" });
    await requireSpace(need(1), need(0));
    await expect(requireSpace(need(Number.MAX_SAFE_INTEGER))).rejects.toThrow(refusal("NO_SPACE", dir));
    // Twice on one disk.
    const most = need(0.6 * here.freeBytes);
    await requireSpace(most);
    await expect(requireSpace(most, { ...most, path: join(dir, "other") })).rejects.toThrow(
      refusal("NO_SPACE", dir),
    );
  });

  it("asks for inodes, too, where the file system counts them", async () => {
    const { freeFiles } = await fileSystemOf(dir);
    const asked = requireSpace({
      path: dir,
      bytes: 1,
      files: (freeFiles ?? 0) + 1,
      elsewhere: "take another",
    });
    await (freeFiles === null ? asked : expect(asked).rejects.toThrow(refusal("NO_SPACE", dir)));
  });

  it("says whether something is there, dangling symlinks included", async () => {
    symlinkSync("nowhere", join(dir, "dangling"));
    expect(await exists(join(dir, "dangling"))).toBe(true);
    expect(await exists(join(dir, "absent"))).toBe(false);
  });
});

describe("removeTree", () => {
  it("removes read-only folders and names that are no UTF-8, and follows no symlink", async () => {
    const outside = mkdtempSync(join(dir, "outside"));
    writeFileSync(join(outside, "kept"), "");
    await asNobody(async () => {
      const tree = mkdtempSync(join(tmpdir(), "files-test-tree-"));
      mkdirSync(join(tree, "a/b"), { recursive: true });
      execFileSync("/bin/sh", ["-c", "touch \"$1/a/b/$(printf '\\377')\"", "sh", tree]);
      symlinkSync(outside, join(tree, "a/link"));
      chmodSync(join(tree, "a/b"), 0o555);
      chmodSync(join(tree, "a"), 0o000);
      await removeTree(tree);
      expect(existsSync(tree)).toBe(false);
    });
    expect(readdirSync(outside)).toEqual(["kept"]);
    symlinkSync(outside, join(dir, "link"));
    await removeTree(join(dir, "link"));
    expect(readdirSync(outside)).toEqual(["kept"]);
    await removeTree(join(dir, "absent"));
  });
});
