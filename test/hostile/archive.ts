/** Attacks on the container: what a tar can say that no bundle does, and what a folder can hold besides regular files. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { blobName } from "../../src/bundle/layout.js";
import type { Code } from "../../src/errors.js";
import type { BundleDocument } from "../../src/generated/types.js";
import {
  type Attack,
  attacks,
  type DirectoryAttack,
  directoryAttacks,
  type TarAttack,
  tarAttacks,
} from "./attack.js";

const BLOCK = 512;

interface Fields {
  readonly name?: string;
  readonly mode?: string;
  readonly size?: number;
  readonly mtime?: string;
  readonly type?: string;
  readonly link?: string;
  readonly magic?: string;
  readonly uname?: string;
  readonly prefix?: string;
  readonly sum?: string;
}

/** A ustar header that says anything. */
export function rawHeader(fields: Fields): Buffer {
  const block = Buffer.alloc(BLOCK);
  const put = (offset: number, text: string) => block.write(text, offset, "latin1");
  put(0, fields.name ?? "roots.txt");
  put(100, fields.mode ?? "000644 \0");
  put(108, "000000 \0");
  put(116, "000000 \0");
  put(124, `${(fields.size ?? 0).toString(8).padStart(10, "0")} \0`);
  put(136, fields.mtime ?? "0000000000 \0");
  put(148, " ".repeat(8));
  put(156, fields.type ?? "0");
  put(157, fields.link ?? "");
  put(257, fields.magic ?? "ustar\x0000");
  put(265, fields.uname ?? "");
  put(329, "000000 \0");
  put(337, "000000 \0");
  put(345, fields.prefix ?? "");
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(148, fields.sum ?? `${sum.toString(8).padStart(6, "0")} \0`);
  return block;
}

/** A member with its contents, padded. */
function member(fields: Fields, contents = ""): Buffer {
  const bytes = Buffer.from(contents);
  const padding = Buffer.alloc(Math.ceil(bytes.length / BLOCK) * BLOCK - bytes.length);
  return Buffer.concat([rawHeader({ size: bytes.length, ...fields }), bytes, padding]);
}

const atEnd = (tar: Buffer, ...members: Buffer[]) =>
  Buffer.concat([tar.subarray(0, -2 * BLOCK), ...members, tar.subarray(-2 * BLOCK)]);

const atFront = (tar: Buffer, ...members: Buffer[]) => Buffer.concat([...members, tar]);

/** The header of a member that is there, changed; its checksum made right again. */
function inHeader(tar: Buffer, name: string, change: (header: Buffer) => void): Buffer {
  const result = Buffer.from(tar);
  const at = result.indexOf(`${name}\0`);
  const header = result.subarray(at, at + BLOCK);
  change(header);
  header.write(" ".repeat(8), 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")} \0`, 148, "latin1");
  return result;
}

const evil = "evil\n";
/** One member more, of a kind that no bundle has. */
const extra = (name: string, fields: Fields, contents = "", also: Code = "FILE_UNLISTED") =>
  [name, 10, ["TAR_HEADER", also], (tar: Buffer) => atEnd(tar, member(fields, contents))] as const;

export const TAR: readonly TarAttack[] = [
  ...tarAttacks(
    "21 tar",
    ["a member outside", 10, "NAME_ILLEGAL", (tar) => atEnd(tar, member({ name: "../evil" }, evil))],
    [
      "a member far outside",
      10,
      "NAME_ILLEGAL",
      (tar) => atEnd(tar, member({ name: "docs/../../../etc/x" }, evil)),
    ],
    ["an absolute member", 10, "NAME_ILLEGAL", (tar) => atEnd(tar, member({ name: "/etc/evil" }, evil))],
    [
      "a name with ./ before it",
      10,
      "NAME_ILLEGAL",
      (tar) => atEnd(tar, member({ name: "./roots.txt" }, evil)),
    ],
    extra("a symlink", { name: "docs/a", type: "2", link: "/etc/passwd" }),
    extra("a hard link", { name: "docs/a", type: "1", link: "bundle.json" }),
    extra("a character device", { name: "docs/a", type: "3" }),
    extra("a block device", { name: "docs/a", type: "4" }),
    ["a folder", 10, "TAR_HEADER", (tar) => atEnd(tar, member({ name: "docs/", type: "5" }))],
    extra("a FIFO", { name: "docs/a", type: "6" }),
    extra("a contiguous file", { name: "docs/a", type: "7" }, evil),
    extra("a sparse file of GNU's", { name: "docs/a", type: "S" }, evil),
    extra("a long name of GNU's", { name: "././@LongLink", type: "L" }, "docs/a\0", "NAME_ILLEGAL"),
    extra(
      "a pax header that overrides the path",
      { name: "PaxHeader", type: "x" },
      "20 path=../evil.txt\n",
      "NAME_ILLEGAL",
    ),
    extra(
      "a global pax header",
      { name: "pax_global_header", type: "g" },
      "20 path=../evil.txt\n",
      "NAME_ILLEGAL",
    ),
    extra("a file of an old tar", { name: "docs/a", type: "\0" }, evil),
    extra("a file of an unknown type", { name: "docs/a", type: "Z" }, evil),
    extra("a prefix", { name: "a", prefix: "docs" }, evil),
    extra("an owner's name", { name: "docs/a", uname: "root" }, evil),
    extra("a setuid file", { name: "docs/a", mode: "004755 \0" }, evil),
    extra("a time", { name: "docs/a", mtime: "14567612345 " }, evil),
    extra("GNU's magic", { name: "docs/a", magic: "ustar  \0" }, evil),
    extra("no magic", { name: "docs/a", magic: "" }, evil),
    extra("a wrong checksum", { name: "docs/a", sum: "000000 \0" }, evil),
    [
      "a member twice, the same",
      10,
      "TAR_DUPLICATE",
      (tar, victim) => atEnd(tar, member({ name: "roots.txt" }, victim.get("roots.txt").toString())),
    ],
    [
      "a member twice, the second other",
      10,
      "TAR_DUPLICATE",
      (tar) => atEnd(tar, member({ name: "roots.txt" }, evil)),
    ],
    [
      "a member twice, the first other",
      10,
      ["DERIVED_DIFFERS", "TAR_DUPLICATE", "TAR_ORDER"],
      (tar) => atFront(tar, member({ name: "roots.txt" }, evil)),
    ],
    [
      "a second document before the first",
      12,
      ["APPROVAL_SUBJECT", "TAR_DUPLICATE"],
      (tar) => atFront(tar, member({ name: "bundle.json" }, "{}\n")),
    ],
    ["a twin in capitals", 10, "NAME_ILLEGAL", (tar) => atEnd(tar, member({ name: "ROOTS.TXT" }, evil))],
    [
      "members in another order",
      10,
      "TAR_ORDER",
      (tar, victim) => {
        const name = "index.json";
        const at = tar.indexOf(`${name}\0`);
        const size = BLOCK + Math.ceil(victim.get(name).length / BLOCK) * BLOCK;
        return Buffer.concat([tar.subarray(at, at + size), tar.subarray(0, at), tar.subarray(at + size)]);
      },
    ],
    [
      "a size in binary, small",
      10,
      "TAR_HEADER",
      (tar, victim) =>
        inHeader(tar, "roots.txt", (header) => {
          header.fill(0, 124, 136);
          header[124] = 0x80;
          header.writeUInt32BE(victim.get("roots.txt").length, 132);
        }),
    ],
    [
      "a negative size",
      10,
      "TAR_HEADER",
      (tar) =>
        atEnd(
          tar,
          inHeader(member({ name: "docs/a" }), "docs/a", (header) => header.fill(0xff, 124, 136)),
        ),
    ],
    [
      "a size over all there is",
      10,
      "TAR_TRUNCATED",
      (tar) => atEnd(tar, member({ name: "docs/a", size: 2 ** 29 })),
    ],
    [
      "a size that is no number",
      10,
      "TAR_HEADER",
      (tar) =>
        atEnd(
          tar,
          inHeader(member({ name: "docs/a" }), "docs/a", (header) => header.write("zzzzzzzzzzz\0", 124)),
        ),
    ],
    [
      "padding that is not zero",
      10,
      "TAR_PADDING",
      (tar, victim) => {
        const result = Buffer.from(tar);
        result[result.indexOf("roots.txt\0") + BLOCK + victim.get("roots.txt").length] = 1;
        return result;
      },
    ],
    ["no end", 10, "TAR_TRUNCATED", (tar) => tar.subarray(0, -2 * BLOCK)],
    ["half an end", 10, "TAR_TRUNCATED", (tar) => tar.subarray(0, -BLOCK)],
    [
      "an end that is not zero",
      10,
      "TAR_END",
      (tar) => {
        const result = Buffer.from(tar);
        result[result.length - 1] = 1;
        return result;
      },
    ],
    ["zeros after the end", 10, "TAR_END", (tar) => Buffer.concat([tar, Buffer.alloc(8 * BLOCK)])],
    ["another tar after the end", 10, "TAR_END", (tar) => Buffer.concat([tar, tar])],
    ["a byte after the end", 10, "TAR_END", (tar) => Buffer.concat([tar, Buffer.from("x")])],
    [
      "a byte before the beginning",
      10,
      ["DOCUMENT_MISSING", "TAR_HEADER"],
      (tar) => Buffer.concat([Buffer.from("x"), tar]),
    ],
    [
      "zero blocks in the middle",
      10,
      ["DERIVED_MISSING", "TAR_END"],
      (tar) => {
        const at = tar.indexOf("index.json\0");
        return Buffer.concat([tar.subarray(0, at), Buffer.alloc(2 * BLOCK), tar.subarray(at)]);
      },
    ],
    [
      "compressed as a whole",
      10,
      ["DOCUMENT_MISSING", "TAR_HEADER"],
      (tar) => execFileSync("gzip", ["-n"], { input: tar, maxBuffer: 2 ** 28 }),
    ],
  ),
];

/** Where a NAR's blob lies. */
const blobIn = (bundle: string) => {
  const { paths } = JSON.parse(readFileSync(join(bundle, "bundle.json"), "utf8")) as BundleDocument;
  return join(bundle, blobName(paths.find(({ storePath }) => storePath.endsWith("-stamp"))!.blob));
};

export const DIRECTORY: readonly (Attack | DirectoryAttack)[] = [
  ...directoryAttacks(
    "22 folder",
    [
      "a blob that is a symlink to the same bytes",
      10,
      ["BLOB_MISSING", "FILE_TYPE"],
      (bundle) => {
        const blob = blobIn(bundle);
        renameSync(blob, `${bundle}.elsewhere`);
        symlinkSync(`${bundle}.elsewhere`, blob);
      },
    ],
    [
      "a blob that is a FIFO",
      10,
      ["BLOB_MISSING", "FILE_TYPE"],
      (bundle) => {
        const blob = blobIn(bundle);
        rmSync(blob);
        execFileSync("mkfifo", [blob]);
      },
    ],
    [
      "a blob that is a folder",
      10,
      ["BLOB_MISSING", "FILE_TYPE"],
      (bundle) => {
        const blob = blobIn(bundle);
        rmSync(blob);
        mkdirSync(blob);
      },
    ],
    [
      "a document that is a symlink",
      10,
      ["DOCUMENT_MISSING", "FILE_TYPE"],
      (bundle) => {
        renameSync(join(bundle, "bundle.json"), `${bundle}.json`);
        symlinkSync(`${bundle}.json`, join(bundle, "bundle.json"));
      },
    ],
    [
      "a document that is a device",
      10,
      ["DOCUMENT_MISSING", "FILE_TYPE"],
      (bundle) => {
        rmSync(join(bundle, "bundle.json"));
        execFileSync("mknod", [join(bundle, "bundle.json"), "c", "1", "5"]);
      },
    ],
    [
      "approvals that are a symlink to a folder",
      12,
      ["APPROVAL_MISSING", "FILE_TYPE"],
      (bundle) => {
        renameSync(join(bundle, "approvals"), `${bundle}.approvals`);
        symlinkSync(`${bundle}.approvals`, join(bundle, "approvals"));
      },
    ],
    [
      "a narinfo that is a symlink out",
      10,
      ["DERIVED_MISSING", "FILE_TYPE"],
      (bundle) => {
        const narinfo = join(bundle, readdirSync(bundle).find((name) => name.endsWith(".narinfo"))!);
        rmSync(narinfo);
        symlinkSync("/etc/passwd", narinfo);
      },
    ],
    [
      "blobs in a folder that is a loop",
      10,
      ["BLOB_MISSING", "DERIVED_MISSING", "FILE_TYPE"],
      (bundle) => {
        rmSync(join(bundle, "blobs"), { recursive: true });
        symlinkSync("blobs", join(bundle, "blobs"));
      },
    ],
  ),
  ...directoryAttacks(
    "23 unlisted",
    ["a folder that no bundle has", 10, "NAME_ILLEGAL", (bundle) => mkdirSync(join(bundle, "evil"))],
    [
      "a program beside the bundle's files",
      10,
      "NAME_ILLEGAL",
      (bundle) => {
        writeFileSync(join(bundle, "verify"), "#!/bin/sh\necho all is well\n");
        chmodSync(join(bundle, "verify"), 0o755);
      },
    ],
    [
      "what an operating system drops, without --allow-extra",
      10,
      "NAME_ILLEGAL",
      (bundle) => writeFileSync(join(bundle, ".DS_Store"), ""),
    ],
    [
      "a hard link under another name",
      11,
      "FILE_UNLISTED",
      (bundle) => linkSync(join(bundle, "bundle.json"), join(bundle, `blobs/sha256/${"0".repeat(64)}`)),
    ],
  ),
  ...attacks(
    "23 unlisted",
    [
      "a blob",
      11,
      "FILE_UNLISTED",
      (victim) => victim.files.set(`blobs/sha256/${"0".repeat(64)}`, Buffer.from(evil)),
    ],
    ["a doc", 11, "FILE_UNLISTED", (victim) => victim.files.set("docs/evil.txt", Buffer.from(evil))],
    ["bytes in a .keep", 11, "DERIVED_DIFFERS", (victim) => victim.files.set("nar/.keep", Buffer.from(evil))],
    [
      "a NAR in the folder nar",
      10,
      "NAME_ILLEGAL",
      (victim) => victim.files.set("nar/x.nar", Buffer.from(evil)),
    ],
    [
      "a file manifest.json",
      10,
      "NAME_ILLEGAL",
      (victim) => victim.files.set("manifest.json", Buffer.from("[]")),
    ],
    ["a policy", 10, "NAME_ILLEGAL", (victim) => victim.files.set("policy.json", Buffer.from("{}"))],
    [
      "a realisation",
      10,
      "NAME_ILLEGAL",
      (victim) => victim.files.set("realisations/x.doi", Buffer.from("{}")),
    ],
    ["a file without its .keep", 13, "DERIVED_MISSING", (victim) => victim.files.delete("log/.keep")],
  ),
];
