/**
 * How a target says that accepted data keeps its law, and how it asks more than once for an answer. A law that one
 * format alone has stands with that format.
 */
import { AirgapError } from "../../../src/errors.js";
import type { Refusal } from "../fuzz.js";

export const ACCEPTED: readonly Refusal[] = [];

/** Says which law of accepted data does not hold: a failure, unlike an AirgapError. */
export function requireLaw(holds: boolean, law: string): asserts holds {
  if (!holds) throw new Error(`broken: ${law}`);
}

export function requireSame(actual: Uint8Array | string, expected: Uint8Array | string, law: string): void {
  requireLaw(Buffer.from(actual as string).equals(Buffer.from(expected as string)), law);
}

/** What `work` throws of our own errors. */
export function refusalOf(work: () => void): Refusal | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof AirgapError) return { ...error.details, code: error.code };
    throw error;
  }
}

/** `bytes` in pieces, whose sizes follow from the bytes themselves. */
export function* pieces(bytes: Buffer): Generator<Buffer> {
  let state = bytes.length + 1;
  for (let at = 0; at < bytes.length; ) {
    state = (Math.imul(state, 1103515245) + 12345 + bytes[at]!) >>> 0;
    const size = 1 + ((state >>> 16) % (bytes.length > 4096 ? 1999 : 67));
    yield bytes.subarray(at, at + size);
    at += size;
  }
}
