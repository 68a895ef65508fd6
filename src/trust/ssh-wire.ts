/**
 * The wire types of SSH (RFC 4251, section 5) that keys and signatures are made of, and base64 as OpenSSH writes it.
 * Knows nothing of what the fields say.
 */
import type { Details } from "../errors.js";

/** Ends the reading with the caller's code. */
export type Refuse = (details: Details) => never;

const LENGTH_SIZE = 4;

/** Reads fields one after another; every length is checked against what is left, so nothing is allocated for it. */
export class WireReader {
  readonly #bytes: Buffer;
  readonly #refuse: Refuse;
  #offset = 0;

  constructor(bytes: Buffer, refuse: Refuse) {
    this.#bytes = bytes;
    this.#refuse = refuse;
  }

  bytes(count: number): Buffer {
    const left = this.#bytes.length - this.#offset;
    if (count > left) {
      return this.#refuse({ expected: `${count} bytes`, actual: `${left} bytes`, offset: this.#offset });
    }
    this.#offset += count;
    return this.#bytes.subarray(this.#offset - count, this.#offset);
  }

  string(): Buffer {
    return this.bytes(this.bytes(LENGTH_SIZE).readUInt32BE());
  }

  /** A string with exactly this text; `what` names it for people. */
  exactly(text: string, what: string): void {
    const offset = this.#offset;
    if (!this.string().equals(Buffer.from(text))) {
      this.#refuse({ expected: `${what} ${JSON.stringify(text)}`, actual: "another", offset });
    }
  }

  end(): void {
    const left = this.#bytes.length - this.#offset;
    if (left > 0) this.#refuse({ expected: "the end", actual: `${left} more bytes`, offset: this.#offset });
  }
}

export function wireString(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(LENGTH_SIZE);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** Whether the bytes are an ASCII text without white space, which is shown as it is. */
export function isPlainText(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte > 0x20 && byte < 0x7f);
}

/** The bytes of padded base64, or undefined when they would be written otherwise. */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? bytes : undefined;
}
