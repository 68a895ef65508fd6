import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { openMedium } from "../../src/bundle/medium.js";
import { tarBytes } from "../../src/bundle/tar.js";
import { partOf } from "../../src/segments.js";

const BLOB = `blobs/sha256/${"a".repeat(64)}`;

let dir: string;
beforeEach(() => {
  dir = join(mkdtempSync(join(tmpdir(), "nix-airgap-medium-")), "b");
  for (const folder of ["blobs/sha256", "approvals", "nar"])
    mkdirSync(join(dir, folder), { recursive: true });
  writeFileSync(join(dir, "bundle.json"), "{}\n");
  writeFileSync(join(dir, "nar/.keep"), "");
  writeFileSync(join(dir, BLOB), "blob");
});

const findingsOf = async (path: string, allowExtra = false) =>
  (await openMedium(path, { allowExtra })).findings;
const refusal = (code: string) => expect.objectContaining({ code });

describe("a directory", () => {
  it("is a table of its files", async () => {
    const { medium, findings } = await openMedium(dir, { allowExtra: false });
    expect(findings).toEqual([]);
    expect(medium).toMatchObject({ kind: "directory", path: dir });
    expect([...medium.files.keys()].sort()).toEqual([BLOB, "bundle.json", "nar/.keep"]);
    expect(medium.files.get(BLOB)).toEqual({ name: BLOB, ...partOf(join(dir, BLOB), 4) });
    expect((await medium.read(BLOB, 4)).toString()).toBe("blob");
  });

  it("may be given by a symlink", async () => {
    symlinkSync(dir, `${dir}.link`);
    const { medium, findings } = await openMedium(`${dir}.link`, { allowExtra: false });
    expect([medium.path, findings]).toEqual([dir, []]);
  });

  it("is refused for a symlink, a FIFO or a socket in it, which are not opened", async () => {
    rmSync(join(dir, BLOB));
    symlinkSync("/etc/passwd", join(dir, BLOB));
    execFileSync("mkfifo", [join(dir, "roots.txt")]);
    execFileSync("mkfifo", [join(dir, "log")]);
    mkdirSync(join(dir, "index.json"));
    const server = createServer();
    await new Promise<void>((done) => server.listen(join(dir, "oci-layout"), done));
    const { medium, findings } = await openMedium(dir, { allowExtra: true });
    server.close();
    expect(new Set(findings.map(({ code }) => code))).toEqual(new Set(["FILE_TYPE"]));
    expect(findings.map(({ subject }) => subject).sort()).toEqual(
      [BLOB, "index.json", "log", "oci-layout", "roots.txt"].sort(),
    );
    expect([...medium.files.keys()].sort()).toEqual(["bundle.json", "nar/.keep"]);
  });

  it("is refused for a folder that is a symlink", async () => {
    renameSync(join(dir, "blobs"), `${dir}.blobs`);
    symlinkSync(`${dir}.blobs`, join(dir, "blobs"));
    expect(await findingsOf(dir)).toEqual([{ code: "FILE_TYPE", subject: "blobs", expected: "a folder" }]);
  });

  it("is refused for other names, empty folders too, and looks into none", async () => {
    mkdirSync(join(dir, "empty"));
    mkdirSync(join(dir, "blobs/md5/deep"), { recursive: true });
    writeFileSync(join(dir, "manifest.json"), "");
    writeFileSync(join(dir, "evil\n\x1b[2J"), "");
    writeFileSync(Buffer.concat([Buffer.from(`${dir}/bad`), Buffer.from([0xff])]), "");
    const findings = await findingsOf(dir);
    expect(new Set(findings.map(({ code }) => code))).toEqual(new Set(["NAME_ILLEGAL"]));
    expect(findings.map(({ subject }) => subject).sort()).toEqual(
      ['"bad\\ufffd"', '"blobs/md5"', '"empty"', '"evil\\n\\u001b[2J"', '"manifest.json"'].sort(),
    );
  });

  it("may hold what operating systems leave, when that is allowed", async () => {
    const left = [".DS_Store", "._bundle.json", "Thumbs.db", "desktop.ini", "blobs/sha256/.DS_Store"];
    for (const name of left) writeFileSync(join(dir, name), "");
    for (const name of ["System Volume Information", "lost+found", ".Trashes", ".fseventsd"]) {
      mkdirSync(join(dir, name, "any"), { recursive: true });
    }
    expect((await findingsOf(dir)).length).toBe(9);
    const { medium, findings } = await openMedium(dir, { allowExtra: true });
    expect(findings).toEqual([]);
    expect(medium.files.size).toBe(3);
    writeFileSync(join(dir, "other"), "");
    expect(await findingsOf(dir, true)).toEqual([{ code: "NAME_ILLEGAL", subject: '"other"' }]);
  });

  it("on a medium that changed the case of names says so", async () => {
    renameSync(join(dir, "blobs"), join(dir, "BLOBS"));
    renameSync(join(dir, "bundle.json"), join(dir, "BUNDLE.JSON"));
    rmSync(join(dir, "nar"), { recursive: true });
    const findings = await findingsOf(dir);
    expect(findings.map(({ code, subject, expected }) => [code, subject, expected]).sort()).toEqual([
      ["NAME_ILLEGAL", '"BLOBS"', "blobs"],
      ["NAME_ILLEGAL", '"BUNDLE.JSON"', "bundle.json"],
    ]);
    expect(findings[0]!.hint).toContain("case of names");
  });

  it("is refused for a file over its cap, before a byte is read", async () => {
    truncateSync(join(dir, "bundle.json"), 256 * 1024 ** 2 + 1);
    const { medium, findings } = await openMedium(dir, { allowExtra: false });
    expect(findings).toEqual([refusal("FILE_TOO_LARGE")]);
    await expect(medium.read("bundle.json", 256 * 1024 ** 2)).rejects.toThrow(refusal("FILE_TOO_LARGE"));
  });

  it("is refused for more than 1,000 approvals", async () => {
    for (let i = 0; i <= 1000; i++) {
      writeFileSync(join(dir, `approvals/qa-${String(i).padStart(32, "0")}.sigstore.json`), "");
    }
    expect(await findingsOf(dir)).toEqual([refusal("TOO_MANY_FILES")]);
  });

  it("is not read through what was put in a file's place since", async () => {
    const { medium } = await openMedium(dir, { allowExtra: false });
    rmSync(join(dir, BLOB));
    symlinkSync("/etc/passwd", join(dir, BLOB));
    await expect(medium.read(BLOB, 100)).rejects.toThrow(refusal("DISK"));
    rmSync(join(dir, "bundle.json"));
    execFileSync("mkfifo", [join(dir, "bundle.json")]);
    await expect(medium.read("bundle.json", 100)).rejects.toThrow(refusal("FILE_TYPE"));
  });

  it("says what is missing", async () => {
    const { medium } = await openMedium(dir, { allowExtra: false });
    const missing = ["roots.txt", `blobs/sha256/${"b".repeat(64)}`];
    await expect(medium.read(missing[0]!, 1)).rejects.toThrow(refusal("DERIVED_MISSING"));
    await expect(medium.read(missing[1]!, 1)).rejects.toThrow(refusal("BLOB_MISSING"));
    rmSync(join(dir, "bundle.json"));
    const without = await openMedium(dir, { allowExtra: false });
    await expect(without.medium.read("bundle.json", 1)).rejects.toThrow(refusal("DOCUMENT_MISSING"));
  });
});

describe("a tar", () => {
  const members: [string, Buffer][] = [
    ["bundle.json", Buffer.from("{}\n")],
    [BLOB, Buffer.from("blob")],
  ];

  it("is the same table, its files within it", async () => {
    const path = `${dir}.tar`;
    writeFileSync(path, tarBytes(members));
    const { medium, findings } = await openMedium(path, { allowExtra: false });
    expect([medium.kind, findings]).toEqual(["tar", []]);
    expect(medium.files.get(BLOB)).toEqual({ name: BLOB, ...partOf(path, 4, 1536) });
    expect((await medium.read(BLOB, 4)).toString()).toBe("blob");
  });

  it.each(["../evil", "/etc/passwd", "blobs/../x", "other", "BUNDLE.JSON"])(
    "with a member %s is refused, and nothing is written",
    async (name) => {
      const path = `${dir}.tar`;
      writeFileSync(path, tarBytes([...members, [name, Buffer.from("x")]]));
      const { medium, findings } = await openMedium(path, { allowExtra: true });
      expect(findings).toEqual([refusal("NAME_ILLEGAL")]);
      expect(medium.files.size).toBe(2);
    },
  );

  it("that is cut or no tar at all is a finding", async () => {
    const path = `${dir}.tar`;
    writeFileSync(path, tarBytes(members).subarray(0, 600));
    expect(await findingsOf(path)).toEqual([refusal("TAR_TRUNCATED")]);
    writeFileSync(path, "a letter to the auditor".repeat(100));
    expect(await findingsOf(path)).toEqual([
      expect.objectContaining({ code: "TAR_HEADER", hint: "This file is no tar of a bundle." }),
    ]);
  });
});

describe("no bundle", () => {
  it("is at a path that does not exist, or is a device", async () => {
    for (const path of [`${dir}.none`, join(dir, "bundle.json/x"), "/dev/null"]) {
      await expect(findingsOf(path)).rejects.toThrow(refusal("BUNDLE_NOT_FOUND"));
    }
  });

  it("is a folder with nothing of one", async () => {
    rmSync(dir, { recursive: true });
    mkdirSync(join(dir, "src"), { recursive: true });
    await expect(findingsOf(dir)).rejects.toThrow(refusal("BUNDLE_NOT_FOUND"));
  });
});
