/**
 * flake.lock, versions 5 to 7: parsed strictly, its inputs resolved, and printed as Nix prints it.
 *
 * Source of the format: libflake/flake/lockfile.cc. Whether an input has its narHash, and which store path
 * follows from it, is for pack and verify to judge; the exact text of a product's lock is kept by whoever read
 * it (Nix tolerates other white space than it writes).
 */
import { AirgapError, fail } from "../errors.js";
import { isJsonObject, type JsonObject, type JsonValue, parseStrictJson } from "../strict-json.js";
import { excerpt } from "./excerpt.js";
import { type Hash, parseSri } from "./hash.js";

/** Bytes of one lock file. */
export const MAX_FLAKE_LOCK = 16 * 1024 * 1024;
/** Inputs of all nodes together. */
export const MAX_INPUTS = 100_000;
/** Inputs of inputs: the path to each node is kept, so that a long chain of nodes would be quadratic. */
export const MAX_NESTING = 100;
/** Follows that lead to follows. */
export const MAX_FOLLOWS = 200;

export interface FlakeLock {
  readonly version: 5 | 6 | 7;
  /** Key of the node that stands for the flake itself. */
  readonly root: string;
  readonly nodes: ReadonlyMap<string, LockNode>;
}

export interface LockNode {
  readonly inputs: ReadonlyMap<string, LockInput>;
  /** False: fetched as plain files (`flake = false`). */
  readonly flake: boolean;
  /** Absent from the root, and only there. */
  readonly pin: LockPin | undefined;
}

export interface LockPin {
  readonly locked: LockAttributes;
  readonly original: LockAttributes;
  /** Of a relative path input (Nix 2.26 and newer): the input path of the flake in whose tree it lies. */
  readonly parent: readonly string[] | undefined;
}

/** A flake reference's attributes, all of them kept. Nix allows these types only. */
export type LockAttributes = Readonly<Record<string, string | number | boolean>>;

export type LockInput =
  | { readonly kind: "node"; readonly key: string }
  /** Input names from the root; empty for the root itself (`follows = ""`). */
  | { readonly kind: "follows"; readonly path: readonly string[] };

/** A node that the root needs. */
export interface LockedInput {
  readonly key: string;
  /** A shortest way from the root to it, by input names; the first in order of names. */
  readonly path: readonly string[];
  /** Keys of what its inputs lead to, follows resolved, by input name. */
  readonly inputs: ReadonlyMap<string, string>;
  readonly locked: LockAttributes;
  readonly original: LockAttributes;
  readonly narHash: Hash | undefined;
  readonly flake: boolean;
  /** Key of the node in whose tree it lies: it has no store path of its own. Undefined for all but relative paths. */
  readonly parent: string | undefined;
}

/**
 * Parses a lock file's bytes. `subject` names it in errors.
 *
 * @throws AirgapError FLAKE_LOCK_INVALID, with `details.line` where it is no strict JSON, or else with the
 * node in `details.subject`.
 */
export function parseFlakeLock(bytes: Uint8Array, subject = "flake.lock"): FlakeLock {
  const caps = { maxBytes: MAX_FLAKE_LOCK, code: "FLAKE_LOCK_INVALID", subject } as const;
  const lock = objectAt(parseStrictJson(bytes, caps), subject, ["nodes", "root", "version"]);
  const { version, root } = lock;
  if (version !== 5 && version !== 6 && version !== 7) refuse(subject, "version 5, 6 or 7", show(version));
  if (typeof root !== "string") refuse(subject, "the key of the root node", show(root));

  const nodes = new Map<string, LockNode>();
  let inputs = 0;
  for (const [key, value] of Object.entries(objectAt(lock["nodes"], `${subject}: nodes`))) {
    const node = parseNode(value, {
      subject: `${subject}: node ${excerpt(key)}`,
      isRoot: key === root,
      version,
    });
    inputs += node.inputs.size;
    if (inputs > MAX_INPUTS) refuse(subject, `at most ${MAX_INPUTS} inputs`, "more");
    nodes.set(key, node);
  }
  if (!nodes.has(root)) refuse(subject, `the root node ${excerpt(root)}`, "none");
  return { version, root, nodes };
}

/** As Nix writes it: keys sorted, two spaces, a line feed at the end. `parseFlakeLock` of it gives the value back. */
export function formatFlakeLock(lock: FlakeLock): string {
  const nodes: Record<string, JsonValue> = {};
  for (const [key, node] of lock.nodes) nodes[key] = nodeJson(node);
  return `${print({ nodes, root: lock.root, version: lock.version }, "")}\n`;
}

/**
 * Every node that the root needs, in breadth-first order, with follows resolved. Nodes that nothing leads to
 * are left out, as Nix does.
 *
 * @throws AirgapError FLAKE_LOCK_INVALID where an input leads nowhere, to itself, back to the root, or too deep.
 */
export function resolveFlakeLock(lock: FlakeLock, subject = "flake.lock"): LockedInput[] {
  return new Resolver(lock, subject).reachable();
}

/** The key of the node that an input of the root leads to, follows resolved, or null where it has no such input. @throws AirgapError FLAKE_LOCK_INVALID */
export function inputNode(lock: FlakeLock, name: string, subject = "flake.lock"): string | null {
  if (!lock.nodes.get(lock.root)?.inputs.has(name)) return null;
  return new Resolver(lock, subject).inputOfRoot(name);
}

interface NodeContext {
  readonly subject: string;
  readonly isRoot: boolean;
  readonly version: number;
}

function parseNode(value: JsonValue, { subject, isRoot, version }: NodeContext): LockNode {
  // Before version 6, `info` held some of the locked attributes.
  const known = ["inputs", "flake", ...(isRoot ? [] : ["locked", "original", "parent"])];
  const node = objectAt(value, subject, version === 5 && !isRoot ? [...known, "info"] : known);
  const flake = node["flake"] ?? true;
  if (typeof flake !== "boolean") refuse(subject, "flake: true or false", show(flake));

  const inputs = new Map<string, LockInput>();
  for (const [name, target] of Object.entries(objectAt(node["inputs"] ?? {}, `${subject}: inputs`))) {
    inputs.set(name, parseInput(target, `${subject}: input ${excerpt(name)}`));
  }
  return { inputs, flake, pin: isRoot ? undefined : parsePin(node, subject) };
}

function parseInput(target: JsonValue, subject: string): LockInput {
  if (typeof target === "string") return { kind: "node", key: target };
  return { kind: "follows", path: inputPath(target, subject) };
}

function parsePin(node: JsonObject, subject: string): LockPin {
  const locked = {
    ...attributes(node["locked"], `${subject}: locked`),
    ...(node["info"] === undefined ? {} : attributes(node["info"], `${subject}: info`)),
  };
  const original = attributes(node["original"], `${subject}: original`);
  for (const { type } of [locked, original]) {
    if (typeof type !== "string") refuse(subject, "a type in locked and original", show(type));
  }
  narHashOf(locked, subject);
  if (node["parent"] === undefined) return { locked, original, parent: undefined };

  const parent = inputPath(node["parent"], `${subject}: parent`);
  const { type, path } = locked;
  if (type !== "path" || typeof path !== "string" || path.startsWith("/")) {
    refuse(subject, "a parent only for a relative path", show(path ?? type));
  }
  return { locked, original, parent };
}

function attributes(value: JsonValue | undefined, subject: string): LockAttributes {
  const result: Record<string, string | number | boolean> = {};
  for (const [name, attribute] of Object.entries(objectAt(value, subject))) {
    const isNatural = typeof attribute === "number" && attribute >= 0;
    if (typeof attribute !== "string" && typeof attribute !== "boolean" && !isNatural) {
      refuse(`${subject}.${excerpt(name)}`, "a string, a natural number or a truth value", show(attribute));
    }
    result[name] = attribute;
  }
  return result;
}

function narHashOf({ narHash }: LockAttributes, subject: string): Hash | undefined {
  if (narHash === undefined) return undefined;
  if (typeof narHash !== "string" || !narHash.startsWith("sha256-")) {
    return refuse(subject, "a narHash as sha256-…", show(narHash));
  }
  try {
    return parseSri(narHash);
  } catch (error) {
    if (!(error instanceof AirgapError) || error.code !== "HASH_INVALID") throw error;
    return fail("FLAKE_LOCK_INVALID", { ...error.details, subject: `${subject}: narHash` }, { cause: error });
  }
}

function inputPath(value: JsonValue, subject: string): string[] {
  if (!Array.isArray(value)) return refuse(subject, "a node's key, or a list of input names", show(value));
  return value.map((name: JsonValue) =>
    typeof name === "string" ? name : refuse(subject, "the name of an input", show(name)),
  );
}

function objectAt(value: JsonValue | undefined, subject: string, known?: readonly string[]): JsonObject {
  if (!isJsonObject(value)) return refuse(subject, "an object", show(value));
  const unknown = known && Object.keys(value).find((key) => !known.includes(key));
  if (unknown !== undefined) refuse(subject, `only ${known?.join(", ")}`, excerpt(unknown));
  return value;
}

function show(value: JsonValue | undefined): string {
  if (value === undefined) return "nothing";
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "a list" : "an object";
  return excerpt(String(value));
}

function refuse(subject: string, expected: string, actual: string): never {
  fail("FLAKE_LOCK_INVALID", { subject, expected, actual });
}

class Resolver {
  readonly #lock: FlakeLock;
  readonly #subject: string;
  /** What an input leads to, by node key and input name; undefined while it is being found out. */
  readonly #targets = new Map<string, Map<string, string | undefined>>();

  constructor(lock: FlakeLock, subject: string) {
    this.#lock = lock;
    this.#subject = subject;
  }

  inputOfRoot(name: string): string {
    return this.#target(this.#lock.root, name, 0);
  }

  reachable(): LockedInput[] {
    this.#refuseCircles();
    const found: LockedInput[] = [];
    const seen = new Set([this.#lock.root]);
    const queue = [{ key: this.#lock.root, path: [] as readonly string[] }];
    for (const { key, path } of queue) {
      const node = this.#node(key, key);
      const inputs = new Map<string, string>();
      for (const name of [...node.inputs.keys()].sort()) {
        inputs.set(name, this.#target(key, name, 0));
        const input = node.inputs.get(name)!;
        if (input.kind === "follows" || seen.has(input.key)) continue;
        seen.add(input.key);
        if (path.length === MAX_NESTING) refuse(this.#at(key), `inputs at most ${MAX_NESTING} deep`, "more");
        queue.push({ key: input.key, path: [...path, name] });
      }
      if (node.pin !== undefined)
        found.push(this.#locked({ key, path, inputs, flake: node.flake, pin: node.pin }));
    }
    return found;
  }

  #locked({
    pin,
    ...rest
  }: Pick<LockedInput, "key" | "path" | "inputs" | "flake"> & { pin: LockPin }): LockedInput {
    const { locked, original, parent } = pin;
    return {
      ...rest,
      locked,
      original,
      narHash: narHashOf(locked, this.#at(rest.key)),
      parent: parent === undefined ? undefined : this.#follow(parent, this.#at(rest.key), 0),
    };
  }

  /** Nodes lead to each other without a circle; only follows may close one, as Nix resolves those lazily. */
  #refuseCircles(): void {
    const done = new Set<string>();
    const open = new Set<string>();
    const frame = (key: string, from: string) => ({ key, inputs: this.#node(key, from).inputs.values() });
    const stack = [frame(this.#lock.root, this.#lock.root)];
    open.add(this.#lock.root);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const { value: input, done: exhausted } = top.inputs.next();
      if (exhausted) {
        stack.pop();
        open.delete(top.key);
        done.add(top.key);
      } else if (input.kind === "node" && open.has(input.key)) {
        refuse(this.#at(top.key), "inputs without a circle", `one through ${excerpt(input.key)}`);
      } else if (input.kind === "node" && !done.has(input.key)) {
        open.add(input.key);
        stack.push(frame(input.key, top.key));
      }
    }
  }

  /** The key of the node that an input leads to. Recursion is bounded by MAX_FOLLOWS. */
  #target(key: string, name: string, depth: number): string {
    const known = this.#targets.get(key) ?? new Map<string, string | undefined>();
    this.#targets.set(key, known);
    const subject = `${this.#at(key)}: input ${excerpt(name)}`;
    const before = known.get(name);
    if (before !== undefined) return before;
    if (known.has(name)) refuse(subject, "follows without a circle", "one");
    if (depth > MAX_FOLLOWS) refuse(subject, `at most ${MAX_FOLLOWS} follows in a row`, "more");

    const input = this.#node(key, key).inputs.get(name);
    if (input === undefined) return refuse(subject, "an input that another follows", "none");
    known.set(name, undefined);
    const target = input.kind === "node" ? input.key : this.#follow(input.path, subject, depth + 1);
    known.set(name, target);
    return target;
  }

  #follow(path: readonly string[], subject: string, depth: number): string {
    let key = this.#lock.root;
    for (const name of path) {
      if (!this.#lock.nodes.get(key)?.inputs.has(name)) {
        refuse(subject, `input ${excerpt(name)} of node ${excerpt(key)}`, "none");
      }
      key = this.#target(key, name, depth);
    }
    return key;
  }

  #node(key: string, from: string): LockNode {
    return this.#lock.nodes.get(key) ?? refuse(this.#at(from), `a node ${excerpt(key)}`, "none");
  }

  #at(key: string): string {
    return `${this.#subject}: node ${excerpt(key)}`;
  }
}

function nodeJson({ inputs, flake, pin }: LockNode): JsonObject {
  const targets: Record<string, JsonValue> = {};
  for (const [name, input] of inputs) targets[name] = input.kind === "node" ? input.key : input.path;
  return {
    ...(flake ? {} : { flake }),
    ...(inputs.size === 0 ? {} : { inputs: targets }),
    ...(pin === undefined ? {} : { locked: pin.locked, original: pin.original }),
    ...(pin?.parent === undefined ? {} : { parent: pin.parent }),
  };
}

/** nlohmann::json's `dump(2)`: keys sorted by their UTF-8 bytes, nothing on the line of an empty list or object. */
function print(value: JsonValue, indent: string): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const inner = `${indent}  `;
  const members = isJsonObject(value)
    ? Object.keys(value)
        .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
        .map((key) => `${JSON.stringify(key)}: ${print(value[key]!, inner)}`)
    : value.map((member) => print(member, inner));
  const [open, close] = isJsonObject(value) ? "{}" : "[]";
  if (members.length === 0) return `${open}${close}`;
  return `${open}\n${inner}${members.join(`,\n${inner}`)}\n${indent}${close}`;
}
