/** The NAR parser: what it accepts is what we would write. The reader that hashes and scans is nar-reading.ts's. */
import { NarParser, type NarVisitor, parseNar } from "../../../src/nix/nar.js";
import {
  narDirectoryClose,
  narDirectoryOpen,
  narEntryClose,
  narEntryOpen,
  narHeader,
  narRegularClose,
  narRegularOpen,
  narSymlink,
} from "../../../src/nix/nar-writer.js";
import type { Target } from "../fuzz.js";
import { ACCEPTED, pieces, refusalOf, requireLaw, requireSame } from "./laws.js";
import { narMaterial } from "./nar-material.js";

export const nar: Target = {
  ...narMaterial,
  name: "nar",
  share: 1,
  run(bytes) {
    const written: Uint8Array[] = [narHeader()];
    const refusal = refusalOf(() => parseNar(bytes, rewriter(written)));
    const bare = refusalOf(() => parseNar(bytes));
    const parser = new NarParser({ collision: () => undefined });
    const cut = refusalOf(() => {
      for (const piece of pieces(bytes)) parser.update(piece);
      parser.end();
    });
    for (const other of [bare, cut]) {
      requireLaw(
        JSON.stringify(other) === JSON.stringify(refusal),
        "the answer is one, however the NAR is read",
      );
    }
    if (refusal !== undefined) return [refusal];
    requireSame(Buffer.concat(written), bytes, "an accepted NAR is what we would write");
    return ACCEPTED;
  },
};

/** Writes what it hears of, and judges by itself what the bytes cannot show: names, their order, and targets. */
function rewriter(out: Uint8Array[]): NarVisitor {
  const nameOf = (path: string) => Buffer.from(path.slice(path.lastIndexOf("/") + 1), "latin1");
  const lastNames: Buffer[] = [];
  const open = (path: string) => {
    if (path === "") return;
    const name = nameOf(path);
    const depth = path.split("/").length - 1;
    const last = lastNames[depth];
    requireLaw(last === undefined || Buffer.compare(last, name) < 0, "the entries of a directory are sorted");
    requireLaw(!["", ".", ".."].includes(path.split("/").at(-1)!) && !path.includes("\0"), "names are legal");
    requireLaw(name.length <= 255 && depth < 64, "names and depth keep their limits");
    lastNames.length = depth + 1;
    lastNames[depth] = name;
    out.push(narEntryOpen(name));
  };
  const close = (path: string) => {
    if (path !== "") out.push(narEntryClose());
  };
  let current = { path: "", size: 0 };
  return {
    directoryEnter(path) {
      open(path);
      out.push(narDirectoryOpen());
    },
    directoryLeave(path) {
      out.push(narDirectoryClose());
      close(path);
    },
    regular(file) {
      current = file;
      open(file.path);
      out.push(narRegularOpen(file));
    },
    contents: (chunk, start, end) => out.push(Buffer.from(chunk.subarray(start, end))),
    regularEnd() {
      out.push(narRegularClose(current.size));
      close(current.path);
    },
    symlink(path, target) {
      requireLaw(target !== "" && target.length <= 4095 && !target.includes("\0"), "targets are legal");
      open(path);
      out.push(narSymlink(Buffer.from(target, "latin1")));
      close(path);
    },
    collision: () => undefined,
  };
}
