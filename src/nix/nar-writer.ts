/**
 * Serialises Nix archives (NAR): the bytes around names, targets and contents, in the one form nar.ts accepts.
 *
 * Pure: reading a tree from disk, and streaming contents between `narRegularOpen` and `narRegularClose`, is
 * the caller's. Names and targets are bytes; entries must come sorted by `compareNames`.
 */
import { padded } from "./nar.js";

/** A tree in memory. `entries` in any order: the writer sorts. */
export type NarNode =
  | { readonly kind: "regular"; readonly executable: boolean; readonly contents: Uint8Array }
  | { readonly kind: "symlink"; readonly target: Uint8Array }
  | { readonly kind: "directory"; readonly entries: readonly NarEntry[] };

export interface NarEntry {
  readonly name: Uint8Array;
  readonly node: NarNode;
}

/** The whole NAR of a tree in memory. Caps and legal names are the parser's to check. */
export function writeNar(node: NarNode): Uint8Array {
  const pieces: Uint8Array[] = [narHeader()];
  writeNode(node, pieces);
  return Buffer.concat(pieces);
}

function writeNode(node: NarNode, pieces: Uint8Array[]): void {
  switch (node.kind) {
    case "regular":
      pieces.push(
        narRegularOpen({ executable: node.executable, size: node.contents.length }),
        node.contents,
        narRegularClose(node.contents.length),
      );
      return;
    case "symlink":
      pieces.push(narSymlink(node.target));
      return;
    case "directory":
      pieces.push(narDirectoryOpen());
      for (const entry of node.entries.toSorted((a, b) => compareNames(a.name, b.name))) {
        pieces.push(narEntryOpen(entry.name));
        writeNode(entry.node, pieces);
        pieces.push(narEntryClose());
      }
      pieces.push(narDirectoryClose());
  }
}

/** The order of a directory's entries: bytewise, a prefix first. */
export function compareNames(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

/** Begins a NAR; exactly one node follows. */
export function narHeader(): Uint8Array {
  return strings("nix-archive-1");
}

export function narDirectoryOpen(): Uint8Array {
  return strings("(", "type", "directory");
}

/** Before the node of one entry. */
export function narEntryOpen(name: Uint8Array): Uint8Array {
  return strings("entry", "(", "name", name, "node");
}

export function narEntryClose(): Uint8Array {
  return strings(")");
}

export function narDirectoryClose(): Uint8Array {
  return strings(")");
}

/** Before `size` bytes of contents. */
export function narRegularOpen(file: { readonly executable: boolean; readonly size: number }): Uint8Array {
  const head = file.executable
    ? strings("(", "type", "regular", "executable", "", "contents")
    : strings("(", "type", "regular", "contents");
  return Buffer.concat([head, length(file.size)]);
}

/** After the `size` bytes of contents: their padding, and the end of the node. */
export function narRegularClose(size: number): Uint8Array {
  return Buffer.concat([Buffer.alloc(padded(size) - size), strings(")")]);
}

export function narSymlink(target: Uint8Array): Uint8Array {
  return strings("(", "type", "symlink", "target", target, ")");
}

/** Each string as NAR has it: its length, its bytes, zeros to a multiple of 8. */
function strings(...parts: readonly (string | Uint8Array)[]): Buffer {
  return Buffer.concat(
    parts.flatMap((part) => {
      const bytes = typeof part === "string" ? Buffer.from(part, "latin1") : part;
      return [length(bytes.length), bytes, Buffer.alloc(padded(bytes.length) - bytes.length)];
    }),
  );
}

function length(size: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(size));
  return bytes;
}
