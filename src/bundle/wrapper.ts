/**
 * The wrapper flake (docs/format.md, section 9): what a site evaluates when the flake's own reference cannot be said
 * as a `path:` URL, because flake.nix lies in a subfolder. A pure function of the document.
 *
 * Its one input is the top flake's own store path, pinned with the revision and times of where it was packed, so that
 * nothing is fetched and the flake sees the same `self`. The other nodes are the top flake's, renamed.
 */
import type { Flake } from "../generated/types.js";
import {
  type FlakeLock,
  formatFlakeLock,
  type LockAttributes,
  type LockInput,
  type LockNode,
  parseFlakeLock,
} from "../nix/flake-lock.js";
import { formatSri, hashOf } from "../nix/hash.js";
import { writeNar } from "../nix/nar-writer.js";
import { makeSourcePath } from "../nix/store-path.js";

export interface Wrapper {
  readonly flakeNix: string;
  readonly flakeLock: string;
  readonly nar: Buffer;
  /** SRI. */
  readonly narHash: string;
  readonly storePath: string;
}

const TOP = "top";
const ROOT = "root";

/** Throws FLAKE_LOCK_INVALID when the top flake's lock is none. */
export function wrapperOf(flake: Flake): Wrapper {
  const original = { type: "path", path: flake.storePath, ...(flake.dir === "" ? {} : { dir: flake.dir }) };
  const flakeNix = flakeText(original);
  const flakeLock = formatFlakeLock(lockOf(flake, original));
  const regular = (text: string) =>
    ({ kind: "regular", executable: false, contents: Buffer.from(text) }) as const;
  const nar = Buffer.from(
    writeNar({
      kind: "directory",
      entries: [
        { name: Buffer.from("flake.lock"), node: regular(flakeLock) },
        { name: Buffer.from("flake.nix"), node: regular(flakeNix) },
      ],
    }),
  );
  const hash = hashOf("sha256", nar);
  return { flakeNix, flakeLock, nar, narHash: formatSri(hash), storePath: makeSourcePath(hash, "source") };
}

function flakeText(original: Readonly<Record<string, string>>): string {
  const attributes = Object.entries(original).map(([name, value]) => `${name} = ${quote(value)};`);
  return `{\n  inputs.top = { ${attributes.join(" ")} };\n  outputs = { self, top }: top.outputs;\n}\n`;
}

/** A Nix string literal: no interpolation, whatever the text. */
function quote(text: string): string {
  return `"${text.replace(/["\\$]/g, "\\$&")}"`;
}

function lockOf(flake: Flake, original: LockAttributes): FlakeLock {
  const locked: LockAttributes = {
    ...original,
    narHash: flake.narHash,
    ...(flake.rev === null ? {} : { rev: flake.rev }),
    ...(flake.revCount === null ? {} : { revCount: flake.revCount }),
    ...(flake.lastModified === null ? {} : { lastModified: flake.lastModified }),
  };
  const old = flake.lock === null ? NO_LOCK : parseFlakeLock(Buffer.from(flake.lock));
  const nodes = new Map<string, LockNode>([[ROOT, { inputs: toTop, flake: true, pin: undefined }]]);
  for (const [key, node] of old.nodes) {
    const inputs = new Map([...node.inputs].map(([name, input]) => [name, moveInput(input, old.root)]));
    if (key === old.root) {
      nodes.set(TOP, { inputs, flake: true, pin: { locked, original, parent: undefined } });
    } else {
      const { pin } = node;
      const parent = pin?.parent && [TOP, ...pin.parent];
      nodes.set(moveKey(key, old.root), { inputs, flake: node.flake, pin: pin && { ...pin, parent } });
    }
  }
  return { version: 7, root: ROOT, nodes };
}

const NO_LOCK: FlakeLock = {
  version: 7,
  root: ROOT,
  nodes: new Map([[ROOT, { inputs: new Map(), flake: true, pin: undefined }]]),
};

const toTop: ReadonlyMap<string, LockInput> = new Map([[TOP, { kind: "node", key: TOP }]]);

/** No key of the old lock can meet `top` or `root`: each gets a dash. */
function moveKey(key: string, oldRoot: string): string {
  return key === oldRoot ? TOP : `${TOP}-${key}`;
}

/** Follows are counted from the root, which is one level further up now. */
function moveInput(input: LockInput, oldRoot: string): LockInput {
  if (input.kind === "node") return { kind: "node", key: moveKey(input.key, oldRoot) };
  return { kind: "follows", path: [TOP, ...input.path] };
}
