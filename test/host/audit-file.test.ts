import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { appendLine, auditPath, readAuditFile } from "../../src/host/audit-file.js";
import { withLock } from "../../src/host/lock.js";
import { tempDir } from "../support/bundle.js";
import { CAN_MOUNT, Tmpfs } from "../support/tmpfs.js";

const maxLine = 100;
const never = new AbortController().signal;

/** A folder whose log is this text. */
function folderWith(text: string): string {
  const folder = tempDir();
  writeFileSync(auditPath(folder), text);
  return folder;
}

const textOf = (folder: string) => readFileSync(auditPath(folder), "utf8");
const append = (folder: string, text: string) =>
  appendLine(folder, { maxLine, makeLine: () => Buffer.from(`${text}\n`) });

/** What `makeLine` is given as the last line. */
async function lastLine(folder: string): Promise<string | null> {
  let seen: string | null = null;
  await appendLine(folder, {
    maxLine,
    makeLine: (last) => {
      seen = last === null ? null : last.toString();
      return Buffer.from("new\n");
    },
  });
  return seen;
}

async function read(folder: string, signal = never): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of readAuditFile(folder, signal)) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

describe("appending", () => {
  it("makes the file, which others cannot read, and adds to it", async () => {
    const folder = tempDir();
    await append(folder, "one");
    await append(folder, "two");
    expect(textOf(folder)).toBe("one\ntwo\n");
    expect(statSync(auditPath(folder)).mode & 0o777).toBe(0o640);
    expect(readdirSync(folder)).toEqual(["audit.jsonl"]);
  });

  it.each([
    ["nothing", "", null],
    ["one line", "one\n", "one\n"],
    ["an empty line", "\n", "\n"],
    ["many lines", `${"x".repeat(50)}\n`.repeat(1000), `${"x".repeat(50)}\n`],
    ["the longest line", `one\n${"x".repeat(maxLine - 1)}\n`, `${"x".repeat(maxLine - 1)}\n`],
  ])("gives the last line of a log of %s", async (_, text, last) => {
    const folder = folderWith(text);
    expect(await lastLine(folder)).toBe(last);
    expect(textOf(folder)).toBe(`${text}new\n`);
  });

  it.each([
    ["after a line", "one\n", "tw"],
    ["of the longest", `one\n${"x".repeat(maxLine - 1)}\n`, "x".repeat(maxLine - 1)],
    ["that is all there is", "", "on"],
  ])("removes what a crash left of a line, %s", async (_, whole, torn) => {
    const folder = folderWith(whole + torn);
    expect(await lastLine(folder)).toBe(whole === "" ? null : whole.split(/(?<=\n)/).at(-1));
    expect(textOf(folder)).toBe(`${whole}new\n`);
  });

  it.each([
    ["a long line", `${"x".repeat(maxLine)}\n`],
    ["a long line after others", `one\n${"x".repeat(maxLine)}\n`],
    ["a very long line", `one\n${"x".repeat(10 * maxLine)}\n`],
    ["more than a torn line", `one\n${"x".repeat(maxLine)}`],
  ])("refuses a log that ends in %s, and leaves it", async (_, text) => {
    const folder = folderWith(text);
    await expect(append(folder, "new")).rejects.toMatchObject({
      code: "AUDIT_ENTRY",
      details: { subject: auditPath(folder) },
    });
    expect(textOf(folder)).toBe(text);
  });

  it("changes nothing where no line is made", async () => {
    const refuse = () => {
      throw new Error("no");
    };
    const torn = folderWith("one\ntw");
    await expect(appendLine(torn, { maxLine, makeLine: refuse })).rejects.toThrow("no");
    expect(textOf(torn)).toBe("one\ntw");
    const empty = tempDir();
    await expect(appendLine(empty, { maxLine, makeLine: refuse })).rejects.toThrow("no");
    expect(readdirSync(empty)).toEqual([]);
  });

  it("loses no line of runs that take turns under the lock", async () => {
    const folder = tempDir();
    const RUNS = 6;
    const inTurn = async (text: string): Promise<void> => {
      try {
        await withLock(join(folder, "lock"), () =>
          appendLine(folder, {
            maxLine,
            makeLine: (last) => Buffer.from(`${Number(last?.toString().split(" ")[0] ?? 0) + 1} ${text}\n`),
          }),
        );
      } catch (error) {
        if ((error as { code?: string }).code !== "LOCKED") throw error;
        await new Promise((resolve) => setTimeout(resolve, 5));
        await inTurn(text);
      }
    };
    await Promise.all(Array.from({ length: RUNS }, (_, i) => inTurn(`run-${i}`)));
    const lines = textOf(folder).trimEnd().split("\n");
    expect(lines.map((line) => line.split(" ")[0])).toEqual(
      Array.from({ length: RUNS }, (_, i) => `${i + 1}`),
    );
    expect(new Set(lines.map((line) => line.split(" ")[1])).size).toBe(RUNS);
  });
});

describe("what is no log", () => {
  /** Says whether it was left alone. */
  const refusals: readonly [what: string, make: (path: string, folder: string) => () => boolean][] = [
    [
      "a symlink",
      (path, folder) => {
        const target = join(folder, "target");
        writeFileSync(target, "one\n");
        symlinkSync(target, path);
        return () => readFileSync(target, "utf8") === "one\n";
      },
    ],
    [
      "a symlink to nothing",
      (path, folder) => {
        symlinkSync(join(folder, "gone"), path);
        return () => !existsSync(join(folder, "gone"));
      },
    ],
    [
      "a FIFO",
      (path) => {
        execFileSync("mkfifo", [path]);
        return () => true;
      },
    ],
    [
      "a folder",
      (path) => {
        mkdirSync(path);
        return () => readdirSync(path).length === 0;
      },
    ],
  ];
  it.each(refusals)("%s is neither written nor read", async (_, make) => {
    const folder = tempDir();
    const isAsBefore = make(auditPath(folder), folder);
    const refusal = { code: "DISK", details: { subject: auditPath(folder) } };
    await expect(append(folder, "new")).rejects.toMatchObject(refusal);
    await expect(read(folder)).rejects.toMatchObject(refusal);
    expect(isAsBefore()).toBe(true);
  });

  it("a folder that does not exist is an error, one without a log is not", async () => {
    const folder = tempDir();
    expect(await read(folder)).toBe("");
    const gone = join(folder, "gone");
    await expect(read(gone)).rejects.toMatchObject({ code: "DISK", details: { subject: gone } });
    await expect(append(gone, "new")).rejects.toMatchObject({ code: "DISK" });
  });
});

describe("reading", () => {
  it("gives what was there when it began", async () => {
    const text = `${"x".repeat(99)}\n`.repeat(5000);
    const folder = folderWith(text);
    expect(await read(folder)).toBe(text);
    let length = 0;
    for await (const piece of readAuditFile(folder, never)) {
      if (length === 0) await append(folder, "new");
      length += piece.length;
    }
    expect(length).toBe(text.length);
  });

  it("can be stopped", async () => {
    const stopped = AbortSignal.abort();
    await expect(read(folderWith("one\n"), stopped)).rejects.toMatchObject({ code: "INTERRUPTED" });
  });
});

describe.runIf(CAN_MOUNT)("a full disk", () => {
  let disk: Tmpfs;
  beforeAll(() => {
    disk = new Tmpfs(join(tempDir(), "disk"), { size: "64k", inodes: 3 });
  });
  afterAll(() => disk.unmount());
  const line = "x".repeat(6000);
  const appendLong = () =>
    appendLine(disk.path, { maxLine: 16384, makeLine: () => Buffer.from(`${line}\n`) });

  it("leaves no half line, and takes the next when there is room", async () => {
    await appendLong();
    const before = textOf(disk.path);
    // Room for a part of it: of the second page that the file has, and none more.
    disk.fill(0);
    await expect(appendLong()).rejects.toMatchObject({
      code: "NO_SPACE",
      details: { subject: auditPath(disk.path) },
    });
    expect(textOf(disk.path)).toBe(before);
    disk.drain();
    await appendLong();
    expect(textOf(disk.path)).toBe(before + before);
  });

  it("leaves no file that was not there", async () => {
    rmSync(auditPath(disk.path));
    disk.fill(0);
    await expect(appendLong()).rejects.toMatchObject({ code: "NO_SPACE" });
    expect(readdirSync(disk.path)).toEqual(["filler"]);
  });
});
