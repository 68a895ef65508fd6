/** Reads bytes of a row of files as if it were one, without waiting: of the parts of a tar, to walk its headers. */
import { closeSync, constants, openSync } from "node:fs";
import { cutOut, type Row } from "../segments.js";
import { onDiskSync } from "./disk.js";
import { readerOf } from "./tar.js";

/** One file is open at a time, since a tar is walked from its first byte to its last. Must be closed. */
export class RowReader {
  readonly #row: Row;
  #open: { readonly path: string; readonly fd: number } | null = null;

  constructor(row: Row) {
    this.#row = row;
  }

  /** Throws DISK, and TAR_TRUNCATED where a file became shorter. */
  read(position: number, length: number): Buffer {
    const { segments } = cutOut(this.#row, position, length);
    const pieces = segments.map(({ path, offset, size }) => readerOf(this.#fd(path))(offset, size));
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  }

  close(): void {
    if (this.#open !== null) closeSync(this.#open.fd);
    this.#open = null;
  }

  #fd(path: string): number {
    if (this.#open?.path === path) return this.#open.fd;
    this.close();
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const fd = onDiskSync(path, () => openSync(path, flags));
    this.#open = { path, fd };
    return fd;
  }
}
